"""Places where the fused kernels can be broken: each of their barriers, waits and masks."""

from mutations import Mutation

WAITS = [
    Mutation("forward waits for its rows", "forward.h", "await_together(note(stage) + Shape::FULL, parity);"),
    Mutation(
        "forward waits until a stage is left",
        "forward.h",
        "await_together(note(stage) + Shape::FREE, parity);",
    ),
    Mutation("forward stage never left", "forward.h", "leave_stage(note(stage) + Shape::FREE);"),
    Mutation("forward stage left unfenced", "stages.h", "fence_copies();"),
    Mutation("forward arrivals not fenced", "forward.h", "fence_arrivals();"),
    Mutation("forward started before arrivals are made", "forward.h", "sync_block();"),
    Mutation("forward queries read before overwritten", "forward.h", "sync_warp();", number=0),
    Mutation("forward result written before read", "forward.h", "sync_warp();", number=1),
    Mutation("forward note not told", "forward.h", "if (!BULK) arrive(full);"),
    Mutation("backward waits for its copies", "backward.h", "await(arrivals, turn);"),
    Mutation("backward arrivals not fenced", "backward.h", "fence_arrivals();"),
    Mutation("backward started before arrivals are made", "backward.h", "sync_block();"),
    Mutation("backward barrier of a stage", "backward.h", "part.sync();", number=0),
    Mutation("backward barrier of P", "backward.h", "part.sync();", number=1),
    Mutation("backward barrier after P", "backward.h", "part.sync();", number=2),
    Mutation("backward barrier of dS", "backward.h", "part.sync();", number=3),
    Mutation("backward barrier before the next rows", "backward.h", "part.sync();", number=4),
    Mutation("backward stage used again unfenced", "backward.h", "fence_copies();"),
    Mutation("backward result written before read", "backward.h", "sync_warp();", number=0),
    Mutation("backward result overwritten before written", "backward.h", "sync_warp();", number=1),
]
MASKS = [
    Mutation("keys beyond the end", "forward.h", "if (8 * j + i % 2 >= mine)", "if (false)"),
    Mutation("sums of queries beyond the end", "forward.h", "== 0 && query < left)", "== 0)"),
    Mutation("rows written to the end, forward", "forward.h", "if (walk.row + down < left) write_16", "write_16"),
    Mutation("sums rescaled", "forward.h", "sum = sums.sum[half] * factor;", "sum = sums.sum[half];"),
    Mutation("keys beyond the end, backward", "backward.h", "if (8 * j + i % 2 >= left) s[j][i] = -INFINITY;"),
    Mutation("sums beyond the end, backward", "backward.h", "query + 8 * half < item.length ? from", "true ? from"),
    Mutation("dropped in the values' gradient", "backward.h", "key_side<true>", "key_side<false>"),
    Mutation("dropped in the scores' gradient", "backward.h", "without_negative<T>(load_4(pairs.at(n, j, half)))",
             "load_4(pairs.at(n, j, half))"),
    Mutation("sign of what is dropped", "backward.h", "fabsf(p[0])", "p[0]"),
    Mutation("rows beyond the end, backward", "backward.h", "end_rows<D>(part, stage + tile * TILE, all);"),
    Mutation("results to the end, backward", "fragments.h", "if (walk.row + down < rows) write_16", "write_16"),
    Mutation("dropped going forward", "forward.h", "if (drops) {", "if (false) {"),
    Mutation("zeros below a tile's rows", "stages.h", "byte, down < left);", "byte, true);"),
    Mutation("values beyond the end", "forward.h", "b[i] &= real[i % 2];", "b[i] &= ~0u;"),
    Mutation("zeros behind the last row", "problem.h", "fill_rows(p.out + used", "if (0) fill_rows(p.out + used"),
    Mutation("items to the end", "problem.h", "if (number >= p.sequences * p.heads * PARTS) return item;"),
]  # fmt: skip
