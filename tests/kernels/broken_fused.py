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
    Mutation("backward waits for its copies", "backward.h", "wait_copies();"),
    Mutation("backward barrier of P", "backward.h", "sync_block();", number=0),
    Mutation("backward barrier after P", "backward.h", "sync_block();", number=1),
    Mutation("backward barrier of dS", "backward.h", "sync_block();", number=2),
    Mutation("backward barrier before results", "backward.h", "sync_block();", number=3),
    Mutation("backward barrier of a stage", "backward.h", "sync_block();", number=4),
    Mutation("backward result written before read", "backward.h", "sync_warp();"),
]
MASKS = [
    Mutation("keys beyond the end", "forward.h", "if (8 * j + i % 2 >= mine)", "if (false)"),
    Mutation("sums of queries beyond the end", "forward.h", "== 0 && query < left)", "== 0)"),
    Mutation("rows written to the end, forward", "forward.h", "if (walk.row + down < left) write_16", "write_16"),
    Mutation("sums rescaled", "forward.h", "sum = sums.sum[half] * factor;", "sum = sums.sum[half];"),
    Mutation("keys beyond the end, backward", "backward.h", "8 * n + i % 2 < left ?", "true ?"),
    Mutation("sums beyond the end, backward", "backward.h", "query < item.length ? p.logsum", "true ? p.logsum"),
    Mutation("dropped in the values' gradient", "backward.h", "key_side<true>", "key_side<false>"),
    Mutation("dropped in the scores' gradient", "backward.h", "kept ? p * dp[j][i] : 0", "p * dp[j][i]"),
    Mutation("sign of what is dropped", "backward.h", "fabsf(p[0])", "p[0]"),
    Mutation("dropped going forward", "forward.h", "if (drops) {", "if (false) {"),
    Mutation("zeros below a tile's rows", "problem.h", "chunk * 16, real);", "chunk * 16, true);"),
    Mutation("values beyond the end", "forward.h", "b[i] &= real[i % 2];", "b[i] &= ~0u;"),
    Mutation("rows written to the end", "problem.h", "if (row < length) write_16", "write_16"),
    Mutation("zeros behind the last row", "problem.h", "fill_rows(p.out + used", "if (0) fill_rows(p.out + used"),
    Mutation("items to the end", "problem.h", "if (number >= p.sequences * p.heads * PARTS) return item;"),
]  # fmt: skip
