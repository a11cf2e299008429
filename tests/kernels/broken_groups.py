"""Places where the backward pass by groups of four warps can be broken: each barrier, wait, fence and mask."""

from mutations import Mutation

FILE = "backward_group.h"
WAITS = [
    Mutation("arrivals not fenced", FILE, "fence_arrivals();"),
    Mutation("started before arrivals are made", FILE, "sync_block();"),
    Mutation("rows not waited for", FILE, "await(arrivals + 16 * stage, parity);"),
    Mutation("result written before read", FILE, "sync_warp();", number=0),
    Mutation("result overwritten before written", FILE, "sync_warp();", number=1),
    Mutation("squares unfenced", FILE, "fence_copies();", number=0),
    Mutation("zeros unfenced", FILE, "fence_copies();", number=1),
    Mutation("stage used again unfenced", FILE, "fence_copies();", number=2),
    Mutation("squares not whole", FILE, "part.sync();", number=0),
    Mutation("result over what others read", FILE, "part.sync();", number=1),
    Mutation("dS over values that others read", FILE, "part.sync();", number=2),
    Mutation("rows not whole", FILE, "part.sync();", number=3),
    Mutation("next rows before all have read", FILE, "part.sync();", number=4),
    *(Mutation(f"products not opened, {n}", FILE, "open_products();", number=n) for n in range(3)),
    Mutation("products of scores not closed", FILE, "close_products();", number=0),
    Mutation("products of gradients not closed", FILE, "close_products();", number=1),
    *(
        Mutation(f"first gradient not awaited, {n}", FILE, "await_products<1>(first);", number=n)
        for n in (0, 1)
    ),
    *(
        Mutation(f"last gradient not awaited, {n}", FILE, "await_products<0>(first);", number=n)
        for n in (0, 1)
    ),
    Mutation("second of three gradients not awaited", FILE, "await_products<1>(second);"),
    Mutation("second of two gradients not awaited", FILE, "await_products<0>(second);"),
    Mutation("spared group's products not awaited", FILE, "await_products<0>(sum);"),
    Mutation("scores not awaited", FILE, "await_products<TOGETHER>(s);"),
    Mutation("gradient of probabilities not awaited", FILE, "await_products<0>(dp);"),
]
MASKS = [
    Mutation("one group too many goes on", FILE, "await_products<0>(dp);", "await_products<1>(dp);"),
    Mutation("keys beyond the end", FILE, "x[i] = -INFINITY;", "x[i] = x[i];"),
    Mutation("sums beyond the end", FILE, "item.length ? from[8 * half] : INFINITY", "item.length + 99 ? 0.f : 0.f"),
    Mutation("rows beyond the end", FILE, "Kernel::end_all(part, unit);"),
    Mutation("zeros a row too late", FILE, "chunk / CHUNKS >= last", "chunk / CHUNKS > last"),
    Mutation("dropped in the values' gradient", FILE, "SQUARE ? words[n][i] : without_negative<T>(words[n][i])",
             "words[n][i]"),
    Mutation("dropped in the scores' gradient", FILE, "unpack<T>(kept, without_negative<T>(p[n][i]))",
             "unpack<T>(kept, p[n][i])"),
    Mutation("sign of what is dropped", FILE, "fabsf(both[1])", "both[1]"),
    Mutation("results beyond the end", FILE, "if (16 * tile >= u.length) return;"),
    Mutation("nobody has the spared one's part", FILE, "u.group == 2; }", "u.group == 9; }"),
    Mutation("sums of the band before", FILE, "0, left, rows, false)", "0, left, rows, true)"),
    Mutation("the other square", FILE, "u.panel(KIND == KEYS_, number)", "u.panel(KIND != KEYS_, number)"),
    Mutation("another panel's pattern", FILE, "{last_panel(square), Shape::LAST_CHUNKS}", "{last_panel(square), 8}"),
    Mutation("columns of the square", FILE, "(2 * u.warp + lane / 8 % 2) % PANEL", "(2 * u.warp + lane / 8) % PANEL"),
    Mutation("two units behind", FILE, "number_of(group + 3 * blocks())", "number_of(group + 2 * blocks())"),
    Mutation("one phase for both stages", FILE, "stage = 0, parity ^= 1;", "stage = 0;"),
]  # fmt: skip
