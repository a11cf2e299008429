// A product of rows and weights whose results meet GELU before they are ever in memory.
//
// Forward GELU(x weight^T + bias), and beside it GELU's slope, all that the way back needs of what was before. Backward
// x, the gradient of the layer behind, times its weights, times the slope, with the sums of columns, which are the
// gradient of the bias.
//
// A block keeps the weights of 128 columns in shared memory and has rows go by, 64 at a time: that asks the L2 for half
// of what tiles of 128 x 128 would. Two groups of four warps take 64 rows in turn. What comes is a ring of stages in the
// order in which it is used, so while one group works on its results the other one has the matrix unit. The last warp
// brings rows. Which bands a block and a group have depends on numbers alone, so that sums have equal bits.
#pragma once

#include "row_gelu.h"
#include "stages.h"

struct GeluProduct {
  const unsigned char* x;       // [rows, depth]
  const unsigned char* weight;  // [width, depth]; backward [depth, width], as the layer behind has it
  const unsigned char* bias;    // [width], forward
  unsigned char* slope;         // [rows, width]: written forward, if it is wanted; read backward
  unsigned char* y;             // [rows, width]: the result; backward: gradient of what was before GELU
  float* parts;                 // [slices, width], backward
  int32_t* slices;              // how many there are
  int32_t rows, width, depth, bfloat16, most_blocks;
};

struct GivenGeluProduct {
  GeluProduct problem;
  Rows x;
};

namespace gelu_product {

constexpr int COLUMNS = 128, BAND_ROWS = 64, STEP = 64, STEP_CHUNKS = STEP / EACH;
constexpr int MOST_DEPTH = 768, STAGES = 4, TURN = STAGES * STEP;
constexpr int GROUPS = 2, WORKERS = 4 * GROUPS, THREADS = 32 * (WORKERS + 1);
constexpr Shared PANEL = COLUMNS * STEP * 2, STAGE = BAND_ROWS * STEP * 2, TURN_PANELS = STAGES * PANEL;
constexpr Shared RING = MOST_DEPTH / STEP * PANEL, ARRIVALS = RING + STAGES * STAGE;
constexpr int SHARED = ARRIVALS + 16 * STAGES * (1 + GROUPS);
constexpr int QUARTERS = 4, OWN = EACH * QUARTERS;  // of a thread's columns: 8 beside each other, 32 apart

DEVICE Shared stage_place(int stage) { return RING + stage * STAGE; }
DEVICE Shared empty(int stage) { return ARRIVALS + 16 * stage; }
// For each group its own: it waits for each phase of these.
DEVICE Shared full(int group, int stage) { return ARRIVALS + 16 * (STAGES * (1 + group) + stage); }

ANYWHERE int panels_of(const GeluProduct& p) { return p.width / COLUMNS; }
ANYWHERE int bands_of(const GeluProduct& p) { return (p.rows + BAND_ROWS - 1) / BAND_ROWS; }

// How the bands of all panels, one after the other, are dealt out to blocks. Bands times blocks are less than 2^32.
struct Dealt {
  int panels, bands, all;

  DEVICE explicit Dealt(const GeluProduct& p) : panels(panels_of(p)), bands(bands_of(p)), all(panels * bands) {}
  DEVICE int begin(int block) const { return static_cast<uint32_t>(all) * block / blocks(); }
  // The first block that has bands of a panel, and of how many a panel has bands at most.
  DEVICE int first_block(int panel) const {
    return (static_cast<uint32_t>(panel * bands + 1) * blocks() - 1) / all;
  }
  DEVICE int most_sharers() const { return static_cast<uint32_t>(blocks() + panels - 1) / panels + 1; }
};

// Bands of one panel that are this block's.
struct Run {
  int panel, first, count, sharer;
  bool last;  // of the panel
};

DEVICE Run run_at(const Dealt& dealt, int at, int end) {
  const int panel = at / dealt.bands, first = at - panel * dealt.bands;
  const int left = dealt.bands - first, mine = end - at;
  const int count = left < mine ? left : mine;
  return {panel, first, count, block() - dealt.first_block(panel), count == left};
}

// The row of shared memory 32 q + 8 i + 2 t + e has weights of column 32 q + 8 t + 2 i + e: so the 8 sums of a row that
// lie in a thread, two of each of 4 products' 8 columns, are of columns beside each other.
DEVICE int column_of(int row) { return (row & ~30) | (row >> 1 & 3) << 3 | (row >> 3 & 3) << 1; }

DEVICE Shared weight_place(int row, int chunk) {
  return chunk / STEP_CHUNKS * PANEL + (row * STEP_CHUNKS + (chunk % STEP_CHUNKS ^ (row & 7))) * 16;
}

DEVICE void bring_weights(const GeluProduct& p, int panel) {
  const int chunks = p.depth / EACH;
  const int64_t pitch = 2 * static_cast<int64_t>(p.depth);
#pragma unroll 4
  for (int i = thread(); i < COLUMNS * chunks; i += THREADS) {
    const int row = i / chunks, chunk = i - row * chunks;
    copy_async(weight_place(row, chunk), p.weight + (panel * COLUMNS + column_of(row)) * pitch + 16 * chunk, true);
  }
  wait_copies();
}

// Weights that lie the other way round are turned on their way: 8 columns, as column_of() knows them, 8 deep, by a thread.
DEVICE void turn_weights(const GeluProduct& p, int panel) {
  const int64_t pitch = 2 * static_cast<int64_t>(p.width);
#pragma unroll 1
  for (int i = uniform(thread() / LANES); i < QUARTERS * (p.depth / STEP); i += WORKERS + 1) {
    const int quarter = i % QUARTERS, chunk = i / QUARTERS * STEP_CHUNKS + lane() / 4, four = lane() % 4;
    const unsigned char* from =
        p.weight + EACH * chunk * pitch + 2 * (panel * COLUMNS + 32 * quarter + EACH * four);
    Words4 deep[EACH];
#pragma unroll
    for (int k = 0; k < EACH; k++) deep[k] = read_16(from + k * pitch);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      Words4 turned;
#pragma unroll
      for (int k = 0; k < EACH / 2; k++) {
        const uint32_t low = deep[2 * k].word[j / 2], high = deep[2 * k + 1].word[j / 2];
        turned.word[k] = j % 2 ? low >> 16 | (high & 0xffff0000) : (low & 0xffff) | high << 16;
      }
      store_16(weight_place(32 * quarter + 8 * (j / 2) + 2 * four + j % 2, chunk), turned);
    }
  }
}

// By one lane: rows of all bands, a stage for each 64 of their depth. `used`: stages that came before.
DEVICE void bring_rows(const GivenGeluProduct& given, const Run& run, int used) {
  const GeluProduct& p = given.problem;
#pragma unroll 1
  for (int i = 0; i < run.count; i++) {
    const int row = (run.first + i) * BAND_ROWS, left = p.rows - row < BAND_ROWS ? p.rows - row : BAND_ROWS;
    const int few = (left + BAND - 1) / BAND;
#pragma unroll 1
    for (int column = 0; column < p.depth; column += STEP, used++) {
      const int stage = used % STAGES;
      if (used >= STAGES) await(empty(stage), (used / STAGES - 1) % 2);
      arrive_expecting(full(i % GROUPS, stage), few * BAND * STEP * 2);
#pragma unroll 1
      for (int band = 0; band < few; band++)
        copy_band<STEP_CHUNKS>(stage_place(stage) + band * BAND * STEP * 2, given.x, row + band * BAND, column,
                               full(i % GROUPS, stage));
    }
  }
}

template <class T, bool BACKWARD>
struct Worker {
  const GeluProduct& p;
  int group, warp;  // of the group
  int parity;  // of the next turn
  float sum[COLUMNS / 2];
  float own[OWN];   // by column: the bias; backward, sums
  Words4 slopes[2][QUARTERS];  // backward

  DEVICE int column(int panel, int quarter) const { return panel * COLUMNS + 32 * quarter + EACH * (thread() % 4); }

  DEVICE void read_bias(const Run& run) {
#pragma unroll
    for (int q = 0; q < QUARTERS; q++) {
      float x[EACH];
      read_parameters<T>(x, p.bias, column(run.panel, q) / EACH);
#pragma unroll
      for (int i = 0; i < EACH; i++) own[EACH * q + i] = x[i];
    }
  }

  // After waiting for products, which lanes do together: all have read it.
  DEVICE void leave(int stage) {
    if (lane() == 0) arrive(empty(stage));
  }

  // 64 rows times 128 columns, in turns of all stages. One product of 64 deep goes on while the next rows are waited
  // for. What is known when compiling is nothing that the matrix unit would wait for.
  DEVICE void multiply(int left) {
#pragma unroll 1
    for (Shared panel = 0; panel < p.depth / STEP * PANEL; panel += TURN_PANELS, parity ^= 1) {
#pragma unroll
      for (int stage = 0; stage < STAGES; stage++) {
        await_together(full(group, stage), parity);
        open_products();
#pragma unroll
        for (int i = 0; i < STEP / 16; i++)
          multiply_rows<T, COLUMNS>(sum, stage_place(stage), left, panel + stage * PANEL, i,
                                    panel > 0 || stage > 0 || i > 0);
        close_products();
        if (panel > 0 || stage > 0) {
          await_products<1>();
          leave((stage + STAGES - 1) % STAGES);
        }
      }
    }
    await_products<0>(sum);
    leave(STAGES - 1);
  }

  DEVICE int row_of(int band, int half) const { return band * BAND_ROWS + 16 * warp + upper_row() + 8 * half; }
  DEVICE int64_t place_of(const Run& run, int row, int quarter) const {
    return 2 * (static_cast<int64_t>(row) * p.width + column(run.panel, quarter));
  }

  // Backward all that is to be read of a band, asked for before its products: nobody waits for it afterwards.
  DEVICE void read_slopes(const Run& run, int band) {
#pragma unroll
    for (int half = 0; half < 2; half++)
      if (row_of(band, half) < p.rows)
#pragma unroll
        for (int q = 0; q < QUARTERS; q++) slopes[half][q] = read_16(p.slope + place_of(run, row_of(band, half), q));
  }

  // Of one row 8 columns: what came out, and where it goes.
  DEVICE void finish_8(float (&x)[EACH], int half, int quarter, int64_t at) {
    float slope[EACH];
    if (BACKWARD) unpack_8<T>(slope, slopes[half][quarter]);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      if (BACKWARD) {
        x[i] *= slope[i];
        own[EACH * quarter + i] += x[i];
      } else {
        const float before = x[i] + own[EACH * quarter + i];
        const Normal normal(before);
        x[i] = before * normal.below, slope[i] = normal.below + before * normal.density;
      }
    }
    write_16(p.y + at, pack_8<T>(x));
    if (!BACKWARD && p.slope) write_16(p.slope + at, pack_8<T>(slope));
  }

  DEVICE void finish(const Run& run, int band) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row_of(band, half);
      if (row >= p.rows) continue;
#pragma unroll
      for (int q = 0; q < QUARTERS; q++) {
        float x[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) x[i] = sum[4 * (4 * q + i / 2) + 2 * half + i % 2];
        finish_8(x, half, q, place_of(run, row, q));
      }
    }
  }

  DEVICE void work(const Run& run) {
    if (!BACKWARD) read_bias(run);
#pragma unroll 1
    for (int i = group; i < run.count; i += GROUPS) {
      if (BACKWARD) read_slopes(run, run.first + i);
      multiply(p.rows - (run.first + i) * BAND_ROWS);
      finish(run, run.first + i);
    }
  }

  // This warp's slice of the sums; and of slices that nobody has, zeros.
  DEVICE void leave_sums(const Run& run, int sharers) {
#pragma unroll
    for (int i = 0; i < OWN; i++)
#pragma unroll
      for (int mask = 4; mask < LANES; mask *= 2) own[i] += shuffle_xor(own[i], mask);
    if (lane() >= 4) return;
    for (int sharer = run.sharer; sharer < (run.last ? sharers : run.sharer + 1); sharer++) {
      float* to = p.parts + static_cast<int64_t>(sharer * WORKERS + 4 * group + warp) * p.width;
#pragma unroll
      for (int i = 0; i < OWN; i++)
        to[column(run.panel, i / EACH) + i % EACH] = sharer == run.sharer ? own[i] : 0;
    }
  }
};

}  // namespace gelu_product

template <class T, bool BACKWARD>
KERNEL(gelu_product::THREADS, 1) gelu_product_rows(GIVEN GivenGeluProduct given) {
  using namespace gelu_product;
  const GeluProduct& p = given.problem;
  const Dealt dealt(p);
  const int number = uniform(thread() / LANES);
  if (thread() == 0) {
    if (BACKWARD && block() == 0) *p.slices = WORKERS * dealt.most_sharers();
    for (int stage = 0; stage < STAGES; stage++) {
      init_arrivals(empty(stage), 4);
      for (int group = 0; group < GROUPS; group++) init_arrivals(full(group, stage), 1);
    }
    fence_arrivals();
    prefetch(given.x);
  }
  const int end = dealt.begin(block() + 1);
  int used = 0, parity = 0;
  for (int at = dealt.begin(block()); at < end;) {
    const Run run = run_at(dealt, at, end);
    BACKWARD ? turn_weights(p, run.panel) : bring_weights(p, run.panel);
    fence_copies();
    sync_block();  // weights are there, and at first arrivals are made
    if (number < WORKERS) {
      // One of its own for each run: between them its sums take no registers.
      Worker<T, BACKWARD> worker = {p, number / 4, number % 4, parity, {}, {}, {}};
      worker.work(run);
      parity = worker.parity;
      if (BACKWARD) worker.leave_sums(run, dealt.most_sharers());
    } else if (elect()) {
      bring_rows(given, run, used);
    }
    at += run.count, used += run.count * (p.depth / STEP);
    if (at < end) sync_block();  // weights have been read: the next ones take their place
  }
}
