"""Places where the operations on rows can be broken: each of their barriers and masks, and the trials that notice."""

from mutations import Mutation

BARRIERS = [
    (Mutation("sums of slices there", "rows.h", "sync_block();", number=0), ["norm of 768"]),
    (Mutation("sums of slices read", "rows.h", "sync_block();", number=1), ["norm of 768"]),
    (Mutation("sums of warps there", "row_norm.h", "sync_block();", number=0), ["norm of 768"]),
    (Mutation("sums of warps read", "row_norm.h", "sync_block();", number=1), ["norm of 768"]),
    (Mutation("sums of rows there", "row_gelu.h", "sync_block();", number=0), ["GELU"]),
    (Mutation("sums of rows read", "row_gelu.h", "sync_block();", number=1), ["GELU of 3072"]),
    (Mutation("sums of a row there", "row_losses.h", "sync_block();", number=0), ["KL"]),
    (Mutation("tops there", "row_losses.h", "sync_block();", number=1), ["cross-entropy"]),
    (Mutation("tops of a row read", "row_losses.h", "sync_block();", number=2), ["cross-entropy"]),
]
WRONG = [
    (Mutation("beyond a row's end", "row_norm.h", "if (has(p, k)) squares", "squares"), ["norm of 64"]),
    (
        Mutation("dropped before", "row_norm.h", "if (!AFTER) mask.drop(t[k], drawn, row, k);"),
        ["norm of 768"],
    ),
    (
        Mutation("dropped after", "row_norm.h", "if (AFTER) mask.drop(t[k], drawn, row, k);"),
        ["sources of 768"],
    ),
    (
        Mutation("dropped after, backward", "row_norm.h", "if (AFTER) mask.drop(g[k], drawn, row, k);"),
        ["sources"],
    ),
    (
        Mutation("dropped before, backward", "row_norm.h", "if (!AFTER) mask.drop(g[k], drawn, row, k);"),
        ["norm of 768"],
    ),
    (
        Mutation("a draw for each pair of chunks", "rows.h", "k / 2 * LANES + lane()", "lane()"),
        ["norm of 768"],
    ),
    (Mutation("uses of a seed apart", "rows.h", "stream << 16", "0u"), ["norm of 64"]),
    (Mutation("a chunk before its row", "row_losses.h", "return first(chunk) >= 0 &&", "return"), ["1601"]),
    (Mutation("numbers behind a row", "row_losses.h", ": otherwise;", ": 9.f;"), ["1601"]),
    (Mutation("shares behind a row", "row_losses.h", "if (!span.has(chunk, i)) share[i] = LOWEST;"), ["KL"]),
    (
        Mutation(
            "the first of equals", "row_losses.h", "|| (other == value && where < place)", "|| other == value"
        ),
        ["30522"],
    ),
    (
        Mutation("ignored rows", "row_losses.h", "p.loss[row] = counts ?", "p.loss[row] = true ?"),
        ["cross-entropy of 2"],
    ),
    (
        Mutation(
            "ignored rows, backward", "row_losses.h", "target != p.ignored ? p.grad[row] : 0", "p.grad[row]"
        ),
        ["cross-entropy"],
    ),
]
OVERRUNS = [
    (
        Mutation(
            "rows to the end", "row_norm.h", "row < p.rows; row +=", "true && row < p.rows + 9; row +=", 1
        ),
        ["norm of 768"],
    ),
    (
        Mutation("chunks to the end", "row_norm.h", "if (has(p, k)) write_16(p.y", "write_16(p.y"),
        ["norm of 64"],
    ),
    (Mutation("rows of a slab", "row_gelu.h", "(slab + 1) * SLAB < p.rows ?", "true ?"), ["GELU of 3072"]),
    (
        Mutation("columns of a tile", "row_gelu.h", "warp() == 0 && chunk < p.width / EACH", "warp() == 0"),
        ["GELU of 72"],
    ),
    (
        Mutation("columns to the end", "rows.h", "warp() == 0 && column < p.columns", "warp() == 0"),
        ["GELU of 72"],
    ),
    (Mutation("a row's last number", "row_losses.h", "if (has(chunk, i)) write_1", "write_1"), ["1601"]),
]
