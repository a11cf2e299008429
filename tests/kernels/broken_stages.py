"""Places where stages, parts and units can be broken: each wait, fence and barrier of their trials, and the rest."""

from mutations import Mutation

TRIALS = "stage_trials.h"
MEETINGS = [
    Mutation("arrivals of bands not fenced", TRIALS, "fence_arrivals();", number=0),
    Mutation("arrivals of units not fenced", TRIALS, "fence_arrivals();", number=1),
    Mutation("bands started before arrivals are made", TRIALS, "sync_block();", number=0),
    Mutation("bands used before all have ended them", TRIALS, "sync_block();", number=1),
    Mutation("bands not waited for", TRIALS, "await(ARRIVALS, 0);"),
    Mutation("units not waited for", TRIALS, "await(work.arrivals + turn % 2 * 16, turn / 2 % 2);"),
    Mutation("sums written before all have read", TRIALS, "part.sync();", number=0),
    Mutation("sums read before all have written", TRIALS, "part.sync();", number=1),
    Mutation("arrivals and number used before they are there", TRIALS, "part.sync();", number=2),
    Mutation("part's barrier of a stage", TRIALS, "part.sync();", number=3),
    Mutation("stage used again unfenced", TRIALS, "fence_copies();"),
    Mutation("arrivals of phases not fenced", TRIALS, "fence_arrivals();", number=2),
    Mutation("phases before arrivals are made", TRIALS, "sync_block();", number=2),
    Mutation("written before read", TRIALS, "await(READ, (phase + 1) % 2);"),
    Mutation("read before written", TRIALS, "await(WRITTEN, phase % 2);"),
]
RULES = [
    Mutation("never told that it is written", TRIALS, "arrive(WRITTEN);"),
    Mutation("never told that it is read", TRIALS, "arrive(READ);"),
    Mutation("the other parity", TRIALS, "(phase + 1) % 2", "phase % 2"),
    Mutation("one parity", TRIALS, "turn / 2 % 2);", "0);"),
    Mutation("parity of the stage, not of the phase", TRIALS, "turn / 2 % 2);", "turn % 2);"),
    Mutation("fenced behind it", TRIALS, "fence_copies();\n    part.sync();", "part.sync();\n    fence_copies();"),
    Mutation("one stage", TRIALS, "work.start(next, turn + 1)", "work.start(next, turn)"),
    Mutation("rows of bands not ended", TRIALS, "end_rows<D>(part, TILE, SHORT);"),
    Mutation("rows of units not ended", TRIALS, "end_rows<64>(part, stage, Units::rows(unit));"),
    Mutation("second rows not ended", TRIALS, "end_rows<64>(part, stage + Units::SECOND, Units::second_rows(unit));"),
    Mutation("too few bytes", TRIALS, " + bytes_of_rows<64>(second_rows(unit))"),
    Mutation("too many bytes", TRIALS, "at, bytes_of_rows<64>(rows(unit))", "at, bytes_of_rows<64>(rows(unit) + 16)"),
    Mutation("bands never sealed", TRIALS, "seal_stage(part, ARRIVALS,", "(void)("),
    Mutation("units never sealed", TRIALS, "seal_stage(part, at,", "(void)("),
    Mutation("counter not cleared", TRIALS, "if (int error = clear_counter(t.counter, stream)) return error;"),
    Mutation("each lane copies", "stages.h", "else if (elect())", "else"),
    Mutation("each thread seals", "stages.h", "else if (part.leads())", "else"),
    Mutation("everyone is to arrive", "stages.h", "BULK ? 1 : THREADS", "THREADS"),
    Mutation("one is to arrive", "stages.h", "BULK ? 1 : THREADS", "1"),
    Mutation("zeros a row too late", "stages.h", "% BAND >= last", "% BAND > last"),
    Mutation("zeros below copied rows", "stages.h", "byte, down < left)", "byte, true)"),
    Mutation("each thread draws", "stages.h", "if (part.leads()) store_4(", "store_4("),
    Mutation("parts share a barrier", "parts.h", "sync_part(1 + i, THREADS)", "sync_part(1, THREADS)"),
    Mutation("barrier of half a part", "parts.h", "sync_part(1 + i, THREADS)", "sync_part(1 + i, THREADS / 2)"),
    Mutation("another pattern of rows", "tiles.h", "chunk ^ (row & 7) / REPEAT", "chunk ^ row % PANEL"),
]  # fmt: skip
