// Trials of stages: rows that arrive in tiles, and units that parts of a block draw and work on in turn.
//
// in: 48 x 256 elements of 16 bits in rows.
#pragma once

#include "stages.h"

namespace {

constexpr int IN_ROWS = 48, IN_COLUMNS = 256;

struct StageTrial {
  Rows rows;
  uint32_t* out;
  int32_t* counter;
};

// Two tiles of 32 rows: one ends with the last row there is, one with a row that others follow.
template <int D>
KERNEL(64, 1) bands(GIVEN StageTrial t) {
  constexpr Shared TILE = bytes_of_rows<D>(32), ARRIVALS = 2 * TILE;
  constexpr int LAST = 27, SHORT = 20;
  const Part<64, 1> part;
  if (part.leads()) {
    prefetch(t.rows);
    prepare_stage(part, ARRIVALS);
    fence_arrivals();
  }
  sync_block();
  start_rows<D>(part, 0, t.rows, IN_ROWS - LAST, D, LAST, ARRIVALS);
  start_rows<D>(part, TILE, t.rows, 5, D, SHORT, ARRIVALS);
  seal_stage(part, ARRIVALS, bytes_of_rows<D>(LAST) + bytes_of_rows<D>(SHORT));
  await(ARRIVALS, 0);
  end_rows<D>(part, TILE, SHORT);
  sync_block();
  for (int i = thread(); i < 64 * D / 8; i += 64) {
    const int row = i / (D / 8), chunk = i % (D / 8);
    const Shared band = row / 32 * TILE + band_place<D / 8>(row % 32 / 16);
    write_16(t.out + 4 * i, load_16(band + place<D / 8>(row % 16, chunk % 2, 0, chunk / 2 * 2)));
  }
}

struct UnitsShape {
  static constexpr int UNITS = 13, PARTS = 2, THREADS = 64;
  static constexpr Shared SECOND = bytes_of_rows<64>(32), STAGE = SECOND + bytes_of_rows<64>(16);
  static constexpr Shared ARRIVALS = PARTS * 2 * STAGE, EACH = 64;
  static constexpr int SHARED = ARRIVALS + PARTS * EACH;
};

// A unit: up to 32 rows of one panel, and the first 16 of them of the next one.
struct Units : UnitsShape {
  const StageTrial& t;
  Part<THREADS, PARTS> part;
  Shared mine, arrivals, slots;

  DEVICE explicit Units(const StageTrial& given)
      : t(given),
        mine(part.number * 2 * STAGE),
        arrivals(ARRIVALS + part.number * EACH),
        slots(arrivals + 32) {}

  static DEVICE int rows(int unit) { return 1 + 7 * unit % 32; }
  static DEVICE int second_rows(int unit) { return rows(unit) < 16 ? rows(unit) : 16; }

  DEVICE void start(int unit, int turn) const {
    const Shared stage = mine + turn % 2 * STAGE, at = arrivals + turn % 2 * 16;
    start_rows<64>(part, stage, t.rows, 3 * unit % 16, unit % 4 * 64, rows(unit), at);
    start_rows<64>(part, stage + SECOND, t.rows, 3 * unit % 16, (unit + 1) % 4 * 64, second_rows(unit), at);
    seal_stage(part, at, bytes_of_rows<64>(rows(unit)) + bytes_of_rows<64>(second_rows(unit)));
  }

  static DEVICE Shared word(Shared band, int row, int number) {
    return band + place<8>(row, number / 4) + number % 4 * 4;
  }

  // Each warp sums a band by columns; then they exchange their sums through the rows that they have read.
  DEVICE void work(int unit, Shared stage) const {
    const int column = part.me % 32;
    uint32_t sum = 0;
    for (int row = 0; row < BAND; row++) {
      if (BAND * part.warp < rows(unit)) sum += load_4(word(stage + band_place<8>(part.warp), row, column));
      sum += 3 * load_4(word(stage + SECOND, row, column));
    }
    part.sync();  // both have read
    store_4(word(stage, part.warp, column), sum);
    part.sync();  // both have written
    t.out[THREADS * unit + part.me] = 2 * sum + load_4(word(stage, 1 - part.warp, column));
  }
};

KERNEL(128, 2) units(GIVEN StageTrial t) {
  const Units work(t);
  const auto& part = work.part;
  if (part.leads()) {
    prepare_stage(part, work.arrivals);
    prepare_stage(part, work.arrivals + 16);
    fence_arrivals();
  }
  draw_unit(part, t.counter, work.slots);
  part.sync();  // arrivals are made, the first number is there
  int unit = load_4(work.slots);
  if (unit < Units::UNITS) work.start(unit, 0);
  for (int turn = 0; unit < Units::UNITS; turn++) {
    const Shared stage = work.mine + turn % 2 * Units::STAGE, slot = work.slots + (turn + 1) % 2 * 4;
    draw_unit(part, t.counter, slot);
    await(work.arrivals + turn % 2 * 16, turn / 2 % 2);
    end_rows<64>(part, stage, Units::rows(unit));
    end_rows<64>(part, stage + Units::SECOND, Units::second_rows(unit));
    fence_copies();
    part.sync();  // rows are whole, the next number is there, nobody needs the other stage any more
    const int next = load_4(slot);
    if (next < Units::UNITS) work.start(next, turn + 1);
    work.work(unit, stage);
    unit = next;
  }
}

// One warp writes a row of words for another, again and again, each waiting for the other.
KERNEL(64, 1) phases(GIVEN StageTrial t) {
  constexpr Shared WRITTEN = 0, READ = 16, WORDS = 32;
  constexpr int PHASES = 8;
  const Part<32, 2> part;
  if (thread() == 0) {
    init_arrivals(WRITTEN, 32);
    init_arrivals(READ, 32);
    fence_arrivals();
  }
  sync_block();  // arrivals are made
  for (int phase = 0; phase < PHASES; phase++) {
    if (part.number == 0) {
      await(READ, (phase + 1) % 2);  // at first nothing is to be read: at once
      store_4(WORDS + 4 * part.me, 100 * phase + part.me);
      arrive(WRITTEN);
    } else {
      await(WRITTEN, phase % 2);
      t.out[32 * phase + part.me] = load_4(WORDS + 4 * (31 - part.me));
      arrive(READ);
    }
  }
}

template <int D>
int try_bands(StageTrial& t, const void* in, void* stream) {
  if (int error = describe(t.rows, in, IN_ROWS, IN_COLUMNS, panel_chunks(D / 8))) return error;
  return launch<bands<D>>(t, 1, 64, 2 * bytes_of_rows<D>(32) + 16, stream);
}

// The counter is the word behind the results: cleared before, and again, so that the same comes out each time.
int try_units(StageTrial& t, const void* in, void* stream) {
  if (int error = describe(t.rows, in, IN_ROWS, IN_COLUMNS, panel_chunks(8))) return error;
  if (int error = clear_counter(t.counter, stream)) return error;
  if (int error = launch<units>(t, 4, 128, Units::SHARED, stream)) return error;
  return clear_counter(t.counter, stream);
}

}  // namespace
