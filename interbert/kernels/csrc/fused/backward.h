// Attention backward in one kernel: probabilities are computed again, every gradient is written once.
//
// With P the probabilities, M the dropout mask with its rescaling, and * element by element:
//   dV = (P * M)^T dO      dP = M * (dO V^T)      dS = P * (dP - rowsum(P * dP))      dQ = dS K      dK = dS^T Q
// A warp has 16 queries for P, dS and dQ, and the same 16 tokens as keys for dV and dK; in between, the unit's warps
// meet, and P and dS pass from queries to keys through squares of shared memory: two, or one after the other through
// one where two would leave no room for a second unit.
#pragma once

#include "dropout.h"
#include "fragments.h"

template <int D, int KEYS>
struct BackwardShape {
  static constexpr int WARPS = KEYS / 16;
  static constexpr int UNITS = units_in_block(D, KEYS);
  static constexpr int UNIT_THREADS = WARPS * 32;
  static constexpr int THREADS = UNITS * UNIT_THREADS;
  static constexpr int TILE = KEYS * D * BYTES;  // queries, keys, values, gradient of the result
  static constexpr int SQUARES = KEYS <= 64 ? 2 : 1;
  static constexpr int SQUARE = KEYS * KEYS * BYTES;
  // Results lie where the squares were on their way out.
  static constexpr int ROOM = SQUARES * SQUARE > TILE ? SQUARES * SQUARE : TILE;
  static constexpr int ARRIVALS = UNITS * (4 * TILE + ROOM);
  static constexpr int SHARED = ARRIVALS + UNITS * 16;
  // At the width that most models have.
  static constexpr int BLOCKS = D != 64 || !COUNTED_OUT || KEYS > 144 ? 1 : KEYS > 64 ? 2 : KEYS == 48 ? 6 : 4;
};

struct GivenBackward {
  Problem problem;
  Rows qkv, grad;  // bands of heads
};

template <class T, int D, int KEYS>
struct Backward {
  using Shape = BackwardShape<D, KEYS>;
  static constexpr int CHUNKS = D / 8, STEPS = D / 16, BANDS = KEYS / 16, TILE = Shape::TILE, HEAD = D * BYTES;

  // A length, for a phase of its own: else the compiler keeps all comparisons of the first one for the others.
  static DEVICE int again(int length) { return static_cast<int>(fresh(length)); }

  using Part = ::Part<Shape::UNIT_THREADS, Shape::UNITS>;

  // In bulk by one warp, which tells first what is to come; otherwise by all.
  static DEVICE void start(const GivenBackward& given, const Part& part, const Item& item, Shared stage,
                           Shared arrivals) {
    const uint32_t bytes = 4 * bytes_of_rows<D>(item.length);
    if (BULK) {
      if (part.warp > 0) return;
      const ::Part<32, Shape::THREADS / 32> alone;
      seal_stage(alone, arrivals, bytes);
      start_rows_of_all(given, alone, item, stage, arrivals);
    } else {
      start_rows_of_all(given, part, item, stage, arrivals);
      seal_stage(part, arrivals, bytes);
    }
  }

  template <class Those>
  static DEVICE void start_rows_of_all(const GivenBackward& given, const Those& those, const Item& item, Shared stage,
                                       Shared arrivals) {
    const int heads = given.problem.heads, head = item.unit % heads;
    start_tiles<D, 3>(those, stage, given.qkv, item.start, head * D, item.length, arrivals, {TILE, heads * D});
    start_rows<D>(those, stage + 3 * TILE, given.grad, item.start, head * D, item.length, arrivals);
  }

  static DEVICE void read_logsum(float (&logsum)[2], const Problem& p, const Part& part, const Item& item) {
    const int query = 16 * part.warp + upper_row();
    const float* from = p.logsum + static_cast<int64_t>(item.unit % p.heads) * p.tokens + item.start + query;
    for (int half = 0; half < 2; half++) logsum[half] = query + 8 * half < item.length ? from[8 * half] : 0;
  }

  // P of this warp's queries goes to the square, as 16-bit numbers whose sign says "dropped".
  static DEVICE void probabilities(Shared stage, Shared own, const float (&logsum)[2], const Problem& p, int unit,
                                   int tile, int length) {
    length = again(length);
    const float scale = LOG2_E / sqrtf(D);
    const Dropout dropout(p);  // for each unit anew: registers are dearer
    const bool drops = p.threshold > 0;
    uint32_t queries[STEPS][4];
    load_band<CHUNKS>(queries, stage, tile);
    const Beside<CHUNKS> keys(stage + TILE);
    const Pairs pairs(own);
    Drawn drawn = {{0, 0, 0, 0}};
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      if (16 * n < length) {
        float s[2][4];
        times_columns<T, CHUNKS>(s, queries, keys, n);
        if (drops && n % 2 == 0) drawn = dropout.draw(unit, tile, n / 2);
        if (16 * n + 16 > length) {
          const int left = length - 16 * n - left_column();
#pragma unroll
          for (int j = 0; j < 2; j++)
#pragma unroll
            for (int i = 0; i < 4; i++)
              if (8 * j + i % 2 >= left) s[j][i] = -INFINITY;
        }
#pragma unroll
        for (int j = 0; j < 2; j++) {
          uint32_t kept[2] = {~0u, ~0u};
          if (drops) dropout.kept(kept, drawn.word[2 * (n % 2) + j]);
#pragma unroll
          for (int i = 0; i < 4; i++) s[j][i] = exp2_of(s[j][i] * scale - logsum[i / 2]);
#pragma unroll
          for (int half = 0; half < 2; half++)
            store_4(pairs.at(n, j, half),
                    pack<T>(s[j][2 * half], s[j][2 * half + 1]) | (~kept[half] & 0x80008000u));
        }
      }
    }
  }

  // P * dP, 0 if dropped, in 16 bits, and sums of what these are by row: so dS still sums to nothing in each row. M's
  // rescaling is left to the end.
  static DEVICE void products(uint32_t (&pdp)[KEYS / 8][2], float (&delta)[2], Shared stage, Shared own, int tile,
                              int length) {
    length = again(length);
    uint32_t grads[STEPS][4];
    load_band<CHUNKS>(grads, stage + 3 * TILE, tile);
    const Beside<CHUNKS> values(stage + 2 * TILE);
    const Pairs pairs(own);
    delta[0] = delta[1] = 0;
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      pdp[2 * n][0] = pdp[2 * n][1] = pdp[2 * n + 1][0] = pdp[2 * n + 1][1] = 0;
      if (16 * n < length) {
        float dp[2][4];
        times_columns<T, CHUNKS>(dp, grads, values, n);
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
          for (int half = 0; half < 2; half++) {
            float p[2];
            unpack<T>(p, without_negative<T>(load_4(pairs.at(n, j, half))));
            pdp[2 * n + j][half] = pack<T>(p[0] * dp[j][2 * half], p[1] * dp[j][2 * half + 1]);
            unpack<T>(p, pdp[2 * n + j][half]);
            delta[half] += p[0] + p[1];
          }
      }
    }
    for (int half = 0; half < 2; half++) delta[half] = row_sum(delta[half]);
  }

  // dS takes the place of P * dP; with two squares it goes into the second one.
  static DEVICE void scores_gradient(uint32_t (&ds)[KEYS / 8][2], const float (&delta)[2], Shared own, int length) {
    length = again(length);
    const Pairs pairs(own);
#pragma unroll
    for (int n = 0; n < BANDS; n++)
      if (16 * n < length)
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
          for (int half = 0; half < 2; half++) {
            float p[2], both[2];
            unpack<T>(p, load_4(pairs.at(n, j, half)));
            unpack<T>(both, ds[2 * n + j][half]);
            ds[2 * n + j][half] =
                pack<T>(both[0] - fabsf(p[0]) * delta[half], both[1] - fabsf(p[1]) * delta[half]);
          }
  }

  static DEVICE void store_square(const uint32_t (&ds)[KEYS / 8][2], Shared own, int length) {
    length = again(length);
    const Pairs pairs(own);
#pragma unroll
    for (int n = 0; n < BANDS; n++)
      if (16 * n < length)
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
          for (int half = 0; half < 2; half++) store_4(pairs.at(n, j, half), ds[2 * n + j][half]);
  }

  static DEVICE void query_gradient(uint32_t (&dq)[CHUNKS][2], const uint32_t (&ds)[KEYS / 8][2], Shared keys,
                                    int length, float factor) {
    length = again(length);
    const Down<CHUNKS> rows(keys);
    // By halves of the columns: sums of all would take more registers than there are beside dS.
#pragma unroll
    for (int c = 0; c < CHUNKS; c += CHUNKS / 2) {
      float sum[CHUNKS / 2][4];
      clear(sum);
#pragma unroll
      for (int n = 0; n < BANDS; n++) {
        if (16 * n < length) {
          const uint32_t a[4] = {ds[2 * n][0], ds[2 * n][1], ds[2 * n + 1][0], ds[2 * n + 1][1]};
          add_rows<T, CHUNKS>(sum, a, rows, n, c / 2);
        }
      }
      uint32_t words[CHUNKS / 2][2];
      pack_all<T>(words, sum, factor);
#pragma unroll
      for (int i = 0; i < CHUNKS / 2; i++) dq[c + i][0] = words[i][0], dq[c + i][1] = words[i][1];
    }
  }

  // The square, transposed, times the rows of a tile: for this warp's 16 tokens as keys.
  template <bool POSITIVE>
  static DEVICE void key_side(uint32_t (&result)[CHUNKS][2], Shared square, Shared tiles, int tile, int length,
                              float factor) {
    length = again(length);
    // Beside dS of many keys there are registers for half of the columns at a time.
    constexpr int AT_ONCE = POSITIVE && KEYS > 128 ? CHUNKS / 2 : CHUNKS;
    const Beside<2> blocks(square + tile * SQUARE_BLOCK);
    const Down<CHUNKS> rows(tiles);
#pragma unroll
    for (int c = 0; c < CHUNKS; c += AT_ONCE) {
      float sum[AT_ONCE][4];
      clear(sum);
#pragma unroll
      for (int q = 0; q < BANDS; q++) {
        if (16 * q < length) {
          uint32_t a[4];
          load_transposed(a, blocks.at(q * BANDS, 0));
          if (POSITIVE)
#pragma unroll
            for (int i = 0; i < 4; i++) a[i] = without_negative<T>(a[i]);
          add_rows<T, CHUNKS>(sum, a, rows, q, c / 2);
        }
      }
      uint32_t words[AT_ONCE][2];
      pack_all<T>(words, sum, factor);
#pragma unroll
      for (int i = 0; i < AT_ONCE; i++) result[c + i][0] = words[i][0], result[c + i][1] = words[i][1];
    }
  }

  // By a warp, its rows of a result, through a place of its own in shared memory.
  static DEVICE void write(const GivenBackward& given, const Item& item, int part, int tile, Shared place,
                           const uint32_t (&words)[CHUNKS][2]) {
    const Problem& p = given.problem;
    store_fragments<CHUNKS>(place, 0, words);
    sync_warp();  // they are there
    write_band<CHUNKS>(p.out + element(p, 3, item.start + 16 * tile, part, item.unit, HEAD),
                       static_cast<int64_t>(3 * p.heads) * HEAD, place, item.length - 16 * tile);
    sync_warp();  // they have been read
  }
};

template <class T, int D, int KEYS>
KERNEL((BackwardShape<D, KEYS>::THREADS), (BackwardShape<D, KEYS>::BLOCKS))
attention_backward(GIVEN GivenBackward given) {
  using Shape = BackwardShape<D, KEYS>;
  using Kernel = Backward<T, D, KEYS>;
  constexpr int TILE = Shape::TILE, CHUNKS = D / 8;
  const Problem& p = given.problem;
  const typename Kernel::Part part;
  const int groups = (p.sequences * p.heads + Shape::UNITS - 1) / Shape::UNITS;
  const Shared stage = part.number * 4 * TILE, square = Shape::UNITS * 4 * TILE + part.number * Shape::ROOM;
  const Shared arrivals = Shape::ARRIVALS + part.number * 16, second = square + (Shape::SQUARES - 1) * Shape::SQUARE;
  const Shared band = part.warp * (KEYS / 16 * SQUARE_BLOCK);
  const float rescale = 256.f / (256 - p.threshold), factor = rescale / sqrtf(D);
  if (part.leads()) {
    prepare_stage(part, arrivals);
    fence_arrivals();
  }
  sync_block();  // arrivals are made
  Item next = find_item<KEYS>(p, block() * Shape::UNITS + part.number);
  Kernel::start(given, part, next, stage, arrivals);
  int turn = 0;
  for (int group = block(); group < groups; group += blocks(), turn ^= 1) {
    const Item item = next;
    const int all = broadcast(item.length);
    // Barriers are for all warps; those without queries have no work in between.
    const int length = 16 * part.warp < all ? all : 0;
    float logsum[2], delta[2];
    Kernel::read_logsum(logsum, p, part, item);
    await(arrivals, turn);
#pragma unroll
    for (int tile = 0; tile < 4; tile++) end_rows<D>(part, stage + tile * TILE, all);
    part.sync();  // this item's rows are whole
    const Shared room = stage + 2 * TILE + part.warp * band_place<CHUNKS>(1);  // in place of values
    uint32_t ds[KEYS / 8][2], result[CHUNKS][2];
    Kernel::probabilities(stage, square + band, logsum, p, item.unit, part.warp, length);
    Kernel::products(ds, delta, stage, square + band, part.warp, length);
    Kernel::scores_gradient(ds, delta, square + band, length);
    if (Shape::SQUARES == 2) Kernel::store_square(ds, second + band, length);
    Kernel::query_gradient(result, ds, stage + TILE, length, factor);
    part.sync();  // P of all queries is in the square, and values have been read
    if (length) Kernel::write(given, item, 0, part.warp, room, result);
    Kernel::template key_side<true>(result, square, stage + 3 * TILE, part.warp, length, rescale);
    if (length) Kernel::write(given, item, 2, part.warp, room, result);
    if (Shape::SQUARES == 1) {
      part.sync();  // it has been read
      Kernel::store_square(ds, square + band, length);
      part.sync();  // dS of all queries is in the square
    }
    next = find_item<KEYS>(p, (group + blocks()) * Shape::UNITS + part.number);
    Kernel::template key_side<false>(result, second, stage, part.warp, length, factor);
    fence_copies();
    part.sync();  // all has been read: the next item's rows may come
    if (group + blocks() < groups) Kernel::start(given, part, next, stage, arrivals);
    if (length) Kernel::write(given, item, 1, part.warp, square + part.warp * band_place<CHUNKS>(1), result);
    spoil_beyond<KEYS>(p, item, Kernel::HEAD, 3, part.me, Shape::UNIT_THREADS);
  }
  clear_rest(p, 3 * p.heads * Kernel::HEAD, Shape::THREADS);
}
