"""Places where the fused kernels can be broken: each of their barriers, waits and masks."""

from mutations import Mutation

WAITS = [
    Mutation("forward waits for its copies", "forward.h", "await(arrivals + turn % 2 * 16, turn / 2 % 2);"),
    Mutation("forward arrivals not fenced", "forward.h", "fence_arrivals();"),
    Mutation("forward started before arrivals are made", "forward.h", "sync_block();"),
    Mutation("forward barrier of a stage", "forward.h", "part.sync();"),
    Mutation("forward stage used again unfenced", "forward.h", "fence_copies();"),
    Mutation("forward queries read before overwritten", "forward.h", "sync_warp();", number=0),
    Mutation("forward result written before read", "forward.h", "sync_warp();", number=1),
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
    Mutation("keys beyond the end", "forward.h", "if (8 * n + i % 2 >= left) s[n][i] = -INFINITY;"),
    Mutation("sums of queries beyond the end", "forward.h", "if (query < queries) p.logsum", "p.logsum"),
    Mutation("keys beyond the end, backward", "backward.h", "if (8 * j + i % 2 >= left) s[j][i] = -INFINITY;"),
    Mutation("sums beyond the end, backward", "backward.h", "query + 8 * half < item.length ? from", "true ? from"),
    Mutation("dropped in the values' gradient", "backward.h", "key_side<true>", "key_side<false>"),
    Mutation("dropped in the scores' gradient", "backward.h", "without_negative<T>(load_4(pairs.at(n, j, half)))",
             "load_4(pairs.at(n, j, half))"),
    Mutation("sign of what is dropped", "backward.h", "fabsf(p[0])", "p[0]"),
    Mutation("rows beyond the end, backward", "backward.h", "end_rows<D>(part, stage + tile * TILE, all);"),
    Mutation("results to the end, backward", "fragments.h", "if (walk.row + down < rows) write_16", "write_16"),
    Mutation("dropped going forward", "forward.h", "if (dropout.threshold) drop(", "if (false) drop("),
    Mutation("zeros below a tile's rows", "stages.h", "byte, down < left);", "byte, true);"),
    Mutation("values beyond the end", "forward.h", "end_rows<D>(part, stage + Shape::QUERIES +", "(void)("),
    Mutation("rows written to the end", "problem.h", "if (row < length) write_16", "write_16"),
    Mutation("zeros behind the last row", "problem.h", "fill_rows(p.out + used", "if (0) fill_rows(p.out + used"),
    Mutation("items to the end", "problem.h", "if (number >= p.sequences * p.heads * PARTS) return item;"),
]  # fmt: skip
