"""Places where the product that meets GELU can be broken: each barrier, wait and fence, and where numbers would go
wrong or too far."""

from mutations import Mutation

FILE = "gelu_product.h"


def broken(name: str, before: str, after: str = "", number: int = 0) -> Mutation:
    return Mutation(name, FILE, before, after, number)


WAITS = [
    broken("weights are there, arrivals are made", "sync_block();", number=0),
    broken("weights have been read", "if (at < end) sync_block();"),
    broken("weights have arrived", "wait_copies();"),
    broken("weights are seen by the matrix unit", "fence_copies();"),
    broken("a stage is free", "if (used >= STAGES) await(empty(stage), (used / STAGES - 1) % 2);"),
    broken("rows are there", "await_together(full(group, stage), parity);"),
    broken("arrivals are told of", "fence_arrivals();"),
    broken("products are opened", "open_products();"),
    broken("a group of products ends", "close_products();"),
    broken("the products before have read", "await_products<1>();"),
    broken("sums are known", "await_products<0>(sum);"),
]
WRONG = [
    broken("columns in their order", "(row & ~30) | (row >> 1 & 3) << 3 | (row >> 3 & 3) << 1", "row"),
    broken("a turn's parity", ", parity ^= 1"),
    broken("arrivals of each group its own", "STAGES * (1 + group) + stage", "STAGES + stage"),
    broken("the first product sets", "panel > 0 || stage > 0 || i > 0", "true"),
    broken("chunks exchanged", "chunk % STEP_CHUNKS ^ (row & 7)", "chunk % STEP_CHUNKS"),
    broken("weights turned", "j % 2 ? low >> 16", "j % 2 == 0 ? low >> 16"),
    broken("turned weights' columns", "8 * (j / 2) + 2 * four + j % 2", "8 * four + j"),
    broken("panels of a turn", "panel + stage * PANEL", "stage * PANEL"),
    broken("stages of the panels before", "at += run.count, used +=", "at += run.count, used = "),
    broken(
        "two groups in turn", "arrive_expecting(full(i % GROUPS, stage)", "arrive_expecting(full(0, stage)"
    ),
    broken("bytes of a last band", "few * BAND * STEP * 2", "BAND_ROWS * STEP * 2"),
    broken("the bias", "x[i] + own[EACH * quarter + i]", "x[i]"),
    broken("GELU's slope", "normal.below + before * normal.density", "normal.below"),
    broken("the slope of a row", "slopes[half][quarter]", "slopes[0][quarter]"),
    broken("sums of lanes", "mask < LANES; mask *= 2", "mask < 16; mask *= 2"),
    broken("slices that nobody has", "run.last ? sharers : run.sharer + 1", "run.sharer + 1"),
    broken("a block's own slices", "block() - dealt.first_block(panel)", "0"),
    broken("parities go on with a panel", "parity = worker.parity;"),
    broken("a block's bands end", "left < mine ? left : mine", "left"),
]
OVERRUNS = [
    broken("rows to the end", "if (row >= p.rows) continue;"),
    broken("slopes to the end", "if (row_of(band, half) < p.rows)"),
]
