// Attention forward: one warp for 16 queries of a (sequence, head), all its scores in registers.
#pragma once

#include "dropout.h"

// A call with sequences of up to KEYS tokens. Above 192 tokens a block takes half of the queries: more warps would
// leave each with fewer registers than its scores need.
template <int D, int KEYS>
struct ForwardShape {
  static constexpr int PARTS = KEYS > 192 ? 2 : 1;
  static constexpr int ROWS = KEYS / PARTS;
  static constexpr int WARPS = ROWS / 16;
  static constexpr int UNITS = units_in_block(D, KEYS);
  static constexpr int UNIT_THREADS = WARPS * 32;
  static constexpr int THREADS = UNITS * UNIT_THREADS;
  static constexpr int CHUNKS = D / 8;
  static constexpr int QUERIES = ROWS * D * BYTES, TILE = KEYS * D * BYTES;
  static constexpr int UNIT_STAGE = QUERIES + 2 * TILE;
  static constexpr int STAGE = UNITS * UNIT_STAGE;
  static constexpr int ARRIVALS = 2 * STAGE;
  static constexpr int SHARED = ARRIVALS + UNITS * 2 * 16;
};

struct GivenForward {
  Problem problem;
  Rows qkv;  // bands of heads
};

template <class T, int D, int KEYS>
struct Forward {
  using Shape = ForwardShape<D, KEYS>;
  static constexpr int CHUNKS = Shape::CHUNKS, HEAD = D * BYTES;

  using Part = ::Part<Shape::UNIT_THREADS, Shape::UNITS>;

  static DEVICE void start(const GivenForward& given, const Part& part, const Item& item, Shared stage,
                           Shared arrivals) {
    const int heads = given.problem.heads, head = item.unit % heads;
    const int left = item.length - item.first;
    const int queries = left < 0 ? 0 : left < Shape::ROWS ? left : Shape::ROWS;
    const Apart apart = {Shape::TILE, heads * D};
    if (Shape::PARTS == 1) {
      start_tiles<D, 3>(part, stage, given.qkv, item.start, head * D, item.length, arrivals, apart);
    } else {
      start_rows<D>(part, stage, given.qkv, item.start + item.first, head * D, queries, arrivals);
      start_tiles<D, 2>(part, stage + Shape::QUERIES, given.qkv, item.start, (heads + head) * D, item.length, arrivals,
                        apart);
    }
    seal_stage(part, arrivals, bytes_of_rows<D>(queries) + 2 * bytes_of_rows<D>(item.length));
  }

  // Scores of this warp's queries, then the powers of two that the softmax is made of; sums of them by row.
  static DEVICE void scores(float (&s)[KEYS / 8][4], Shared queries, Shared keys,
                            int tile, int length) {
    clear(s);
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
      uint32_t q[4], b[4];
      load_matrices(q, down<CHUNKS>(queries, tile, k));
#pragma unroll
      for (int n = 0; n < KEYS / 16; n++) {
        if (16 * n < length) {
          load_matrices(b, beside<CHUNKS>(keys, n, k));
          multiply<T>(s[2 * n], q, b[0], b[1]);
          multiply<T>(s[2 * n + 1], q, b[2], b[3]);
        }
      }
    }
  }

  static DEVICE void softmax(float (&s)[KEYS / 8][4], float (&sum)[2], float (&logsum)[2], int length) {
    const float scale = LOG2_E / sqrtf(D);
    const int left = length - left_column();
    float top[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (8 * n + i % 2 >= left) s[n][i] = -INFINITY;
        top[i / 2] = fmaxf(top[i / 2], s[n][i]);
      }
    for (int half = 0; half < 2; half++) top[half] = row_max(top[half]) * scale, sum[half] = 0;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        s[n][i] = exp2_of(s[n][i] * scale - top[i / 2]);
        sum[i / 2] += s[n][i];
      }
    for (int half = 0; half < 2; half++) {
      sum[half] = row_sum(sum[half]);
      logsum[half] = top[half] + log2_of(sum[half]);
    }
  }

  static DEVICE void drop(float (&s)[KEYS / 8][4], const Dropout& dropout, int unit, int tile, int length) {
#pragma unroll
    for (int band = 0; band < (KEYS + 31) / 32; band++) {
      if (32 * band < length) {
        const Drawn drawn = dropout.draw(unit, tile, band);
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
          for (int i = 0; i < 4; i++)
            if (4 * band + j < KEYS / 8 && !dropout.keeps(drawn.word[j], i)) s[4 * band + j][i] = 0;
      }
    }
  }

  static DEVICE void values(float (&o)[CHUNKS][4], const float (&s)[KEYS / 8][4], Shared values,
                            int length) {
    clear(o);
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
      if (16 * n < length) {
        const uint32_t a[4] = {pack<T>(s[2 * n][0], s[2 * n][1]), pack<T>(s[2 * n][2], s[2 * n][3]),
                               pack<T>(s[2 * n + 1][0], s[2 * n + 1][1]), pack<T>(s[2 * n + 1][2], s[2 * n + 1][3])};
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
          uint32_t b[4];
          load_transposed(b, down<CHUNKS>(values, n, c));
          multiply<T>(o[2 * c], a, b[0], b[1]);
          multiply<T>(o[2 * c + 1], a, b[2], b[3]);
        }
      }
    }
  }

  static DEVICE void attend(const Problem& p, const Part& part, const Item& item, const Dropout& dropout,
                            Shared stage) {
    const int tile = part.warp, queries = item.length - item.first;
    if (16 * tile >= queries) return;
    Shared keys = stage + Shape::QUERIES;
    float s[KEYS / 8][4], sum[2], logsum[2], o[CHUNKS][4];
    scores(s, stage, keys, tile, item.length);
    softmax(s, sum, logsum, item.length);
    if (dropout.threshold) drop(s, dropout, item.unit, item.first / 16 + tile, item.length);
    values(o, s, keys + Shape::TILE, item.length);

    uint32_t words[CHUNKS][2];
    const float factor[2] = {dropout.rescale() / sum[0], dropout.rescale() / sum[1]};
#pragma unroll
    for (int n = 0; n < CHUNKS; n++)
      for (int half = 0; half < 2; half++)
        words[n][half] = pack<T>(o[n][2 * half] * factor[half], o[n][2 * half + 1] * factor[half]);
    sync_warp();  // all lanes have read this warp's queries: the result takes their place
    store_fragments<CHUNKS>(stage, tile, words);
    sync_warp();
    write_rows<CHUNKS>(p.out + element(p, 1, item.start + item.first, 0, item.unit, HEAD),
                       static_cast<int64_t>(p.heads) * HEAD, stage, tile, queries);
    if (left_column() == 0)
      for (int half = 0; half < 2; half++) {
        const int query = 16 * tile + upper_row() + 8 * half;
        const int64_t at = static_cast<int64_t>(item.unit % p.heads) * p.tokens + item.start + item.first + query;
        if (query < queries) p.logsum[at] = logsum[half];
      }
  }
};

template <class T, int D, int KEYS>
KERNEL((ForwardShape<D, KEYS>::THREADS), 1) attention_forward(GIVEN GivenForward given) {
  using Shape = ForwardShape<D, KEYS>;
  using Kernel = Forward<T, D, KEYS>;
  const Problem& p = given.problem;
  const typename Kernel::Part part;
  const int groups = (p.sequences * p.heads * Shape::PARTS + Shape::UNITS - 1) / Shape::UNITS;
  const Shared stages = part.number * Shape::UNIT_STAGE, arrivals = Shape::ARRIVALS + part.number * 32;
  const Dropout dropout(p);
  if (part.leads()) {
    prefetch(given.qkv);
    prepare_stage(part, arrivals);
    prepare_stage(part, arrivals + 16);
    fence_arrivals();
  }
  sync_block();  // arrivals are made
  clear_rest(p, static_cast<int64_t>(p.heads) * Kernel::HEAD, Shape::THREADS);

  Item next = find_item<KEYS, Shape::PARTS>(p, block() * Shape::UNITS + part.number);
  Kernel::start(given, part, next, stages, arrivals);
  int turn = 0;
  for (int group = block(); group < groups; group += blocks(), turn++) {
    const Item item = next;
    const Shared stage = stages + turn % 2 * Shape::STAGE;
    await(arrivals + turn % 2 * 16, turn / 2 % 2);
    end_rows<D>(part, stage + Shape::QUERIES + Shape::TILE, item.length);
    fence_copies();
    part.sync();  // this item's values are whole, and nobody needs the other stage any more
    next = find_item<KEYS, Shape::PARTS>(p, (group + blocks()) * Shape::UNITS + part.number);
    Kernel::start(given, part, next, stages + (turn + 1) % 2 * Shape::STAGE, arrivals + (turn + 1) % 2 * 16);
    Kernel::attend(p, part, item, dropout, stage);
    spoil_beyond<KEYS>(p, item, Kernel::HEAD, 1, part.me, Shape::UNIT_THREADS);
  }
}
