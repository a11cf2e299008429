// Attention backward in one kernel: probabilities are computed again, every gradient is written once.
//
// With P the probabilities, M the dropout mask with its rescaling, and * element by element:
//   dV = (P * M)^T dO      dP = M * (dO V^T)      dS = P * (dP - rowsum(P * dP))      dQ = dS K      dK = dS^T Q
// A warp has 16 queries for P, dS and dQ, and the same 16 tokens as keys for dV and dK; in between, the block's warps
// meet, and P, then dS, pass from queries to keys through one square of shared memory.
#pragma once

#include "dropout.h"

template <int D, int KEYS>
struct BackwardShape {
  static constexpr int WARPS = KEYS / 16;
  static constexpr int UNITS = units_in_block(D, KEYS);
  static constexpr int UNIT_THREADS = WARPS * 32;
  static constexpr int THREADS = UNITS * UNIT_THREADS;
  static constexpr int CHUNKS = D / 8;
  static constexpr int TILE = KEYS * D * BYTES;  // queries, keys, values, gradient of the result
  static constexpr int STAGE = UNITS * 4 * TILE;
  static constexpr int SQUARE = KEYS * KEYS * BYTES;
  static constexpr int SHARED = 2 * STAGE + UNITS * SQUARE;
};

template <class T, int D, int KEYS>
struct Backward {
  using Shape = BackwardShape<D, KEYS>;
  static constexpr int CHUNKS = Shape::CHUNKS, TILE = Shape::TILE, HEAD = D * BYTES;
  // Keys that are worked on at a time. Beyond 128 tokens a block has more than 8 warps, and fewer registers for each.
  static constexpr int BAND = KEYS > 128 ? 16 : 32;

  static DEVICE int me() { return thread() % Shape::UNIT_THREADS; }
  static DEVICE int tile() { return me() / 32; }

  static DEVICE void start(const Problem& p, const Item& item, Shared stage, float (&logsum)[2]) {
    const int64_t row = static_cast<int64_t>(p.heads) * HEAD;
    for (int part = 0; part < 3; part++)
      copy_one_by_one<CHUNKS, Shape::UNIT_THREADS>(stage + part * TILE,
                                             p.qkv + element(p, 3, item.start, part, item.unit, HEAD), 3 * row,
                                             item.length, me());
    copy_one_by_one<CHUNKS, Shape::UNIT_THREADS>(
        stage + 3 * TILE, p.grad + element(p, 1, item.start, 0, item.unit, HEAD), row, item.length, me());
    for (int half = 0; half < 2; half++) {
      const int query = 16 * tile() + upper_row() + 8 * half;
      const int64_t at = static_cast<int64_t>(item.unit % p.heads) * p.tokens + item.start + query;
      logsum[half] = query < item.length ? p.logsum[at] : 0;
    }
  }

  // Scores and dP of this warp's queries and a band of keys.
  static DEVICE void products(float (&s)[BAND / 8][4], float (&dp)[BAND / 8][4], Shared stage, int first,
                              int length) {
    clear(s);
    clear(dp);
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
      uint32_t q[4], g[4], b[4];
      load_matrices(q, down<CHUNKS>(stage, tile(), k));
      load_matrices(g, down<CHUNKS>(stage + 3 * TILE, tile(), k));
#pragma unroll
      for (int n = 0; n < BAND / 16; n++) {
        if (first + 16 * n < KEYS && first + 16 * n < length) {
          load_matrices(b, beside<CHUNKS>(stage + TILE, first / 16 + n, k));
          multiply<T>(s[2 * n], q, b[0], b[1]);
          multiply<T>(s[2 * n + 1], q, b[2], b[3]);
          load_matrices(b, beside<CHUNKS>(stage + 2 * TILE, first / 16 + n, k));
          multiply<T>(dp[2 * n], g, b[0], b[1]);
          multiply<T>(dp[2 * n + 1], g, b[2], b[3]);
        }
      }
    }
  }

  // P of this warp's queries goes to the square, as 16-bit numbers whose sign says "dropped"; P * dP stays here, 0 if
  // dropped. M's rescaling is left to the end.
  static DEVICE void probabilities(float (&pdp)[KEYS / 8][4], Shared stage, Shared square, const float (&logsum)[2],
                                   const Dropout& dropout, int unit, int length) {
    const float scale = LOG2_E / sqrtf(D);
    const int left = length - left_column();
    Drawn drawn = {{0, 0, 0, 0}};
#pragma unroll
    for (int first = 0; first < KEYS; first += BAND) {
      if (first < length) {
        float s[BAND / 8][4], dp[BAND / 8][4];
        products(s, dp, stage, first, length);
        if (dropout.threshold && first % 32 == 0) drawn = dropout.draw(unit, tile(), first / 32);
#pragma unroll
        for (int j = 0; j < BAND / 8; j++) {
          const int n = first / 8 + j;
          if (n < KEYS / 8) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
              const bool kept = dropout.keeps(drawn.word[n % 4], i);
              const float p = 8 * n + i % 2 < left ? exp2_of(s[j][i] * scale - logsum[i / 2]) : 0;
              pdp[n][i] = kept ? p * dp[j][i] : 0;
              s[j][i] = kept ? p : -p;
            }
            store_4(own_pair<KEYS / 8>(square, tile(), n, 0), pack<T>(s[j][0], s[j][1]));
            store_4(own_pair<KEYS / 8>(square, tile(), n, 1), pack<T>(s[j][2], s[j][3]));
          }
        }
      }
    }
  }

  static DEVICE void softmax_gradient(uint32_t (&ds)[KEYS / 8][2], const float (&pdp)[KEYS / 8][4], Shared square,
                                      int length) {
    float delta[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        delta[i / 2] += pdp[n][i];
    for (int half = 0; half < 2; half++) delta[half] = row_sum(delta[half]);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
      ds[n][0] = ds[n][1] = 0;
      if (16 * (n / 2) < length) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float p[2];
          unpack<T>(p, load_4(own_pair<KEYS / 8>(square, tile(), n, half)));
          ds[n][half] = pack<T>(pdp[n][2 * half] - fabsf(p[0]) * delta[half],
                                pdp[n][2 * half + 1] - fabsf(p[1]) * delta[half]);
        }
      }
    }
  }

  // Of two 16-bit numbers in a word, those with the sign bit become zero.
  static DEVICE uint32_t without_negative(uint32_t word) {
    const uint32_t signs = word & 0x80008000u;
    return word & ~(signs | (signs - (signs >> 15)));
  }

  static DEVICE void query_gradient(uint32_t (&dq)[CHUNKS][2], const uint32_t (&ds)[KEYS / 8][2],
                                    Shared keys, int length, float factor) {
    float sum[CHUNKS][4];
    clear(sum);
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
      if (16 * n < length) {
        const uint32_t a[4] = {ds[2 * n][0], ds[2 * n][1], ds[2 * n + 1][0], ds[2 * n + 1][1]};
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
          uint32_t b[4];
          load_transposed(b, down<CHUNKS>(keys, n, c));
          multiply<T>(sum[2 * c], a, b[0], b[1]);
          multiply<T>(sum[2 * c + 1], a, b[2], b[3]);
        }
      }
    }
    pack_all<T>(dq, sum, factor);
  }

  // The square, transposed, times the rows of a tile: for this warp's 16 tokens as keys.
  template <bool POSITIVE>
  static DEVICE void key_side(uint32_t (&result)[CHUNKS][2], Shared square, Shared rows, int length, float factor) {
    float sum[CHUNKS][4];
    clear(sum);
#pragma unroll
    for (int q = 0; q < KEYS / 16; q++) {
      if (16 * q < length) {
        uint32_t a[4], b[4];
        load_transposed(a, beside<KEYS / 8>(square, q, tile()));
        if (POSITIVE)
#pragma unroll
          for (int i = 0; i < 4; i++) a[i] = without_negative(a[i]);
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
          load_transposed(b, down<CHUNKS>(rows, q, c));
          multiply<T>(sum[2 * c], a, b[0], b[1]);
          multiply<T>(sum[2 * c + 1], a, b[2], b[3]);
        }
      }
    }
    pack_all<T>(result, sum, factor);
  }

  static DEVICE void write(const Problem& p, const Item& item, Shared stage, int part,
                           const uint32_t (&words)[CHUNKS][2]) {
    store_fragments<CHUNKS>(stage + part * TILE, tile(), words);
    sync_warp();
    write_rows<CHUNKS>(p.out + element(p, 3, item.start, part, item.unit, HEAD),
                       static_cast<int64_t>(3 * p.heads) * HEAD, stage + part * TILE, tile(), item.length);
  }

  static DEVICE void differentiate(const Problem& p, const Item& item, const Dropout& dropout, Shared stage,
                                   Shared square, const float (&logsum)[2]) {
    // Barriers are for all warps; those without queries have no work in between.
    const int length = 16 * tile() < item.length ? item.length : 0;
    uint32_t ds[KEYS / 8][2], dq[CHUNKS][2], dk[CHUNKS][2], dv[CHUNKS][2];
    {
      float pdp[KEYS / 8][4];
      clear(pdp);
      probabilities(pdp, stage, square, logsum, dropout, item.unit, length);
      softmax_gradient(ds, pdp, square, length);
    }
    query_gradient(dq, ds, stage + TILE, length, dropout.rescale() / sqrtf(D));
    sync_block();  // P of all queries is in the square
    key_side<true>(dv, square, stage + 3 * TILE, length, dropout.rescale());
    sync_block();  // it has been read
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
      if (16 * (n / 2) < length)
        for (int half = 0; half < 2; half++) store_4(own_pair<KEYS / 8>(square, tile(), n, half), ds[n][half]);
    sync_block();  // dS of all queries is in the square
    key_side<false>(dk, square, stage, length, dropout.rescale() / sqrtf(D));
    sync_block();  // queries, keys, values and the square have been read: gradients take their place
    if (length == 0) return;
    write(p, item, stage, 0, dq);
    write(p, item, stage, 1, dk);
    write(p, item, stage, 2, dv);
  }
};

template <class T, int D, int KEYS>
KERNEL((BackwardShape<D, KEYS>::THREADS), 1) attention_backward(Problem p) {
  using Shape = BackwardShape<D, KEYS>;
  using Kernel = Backward<T, D, KEYS>;
  const int mine = thread() / Shape::UNIT_THREADS;
  const int groups = (p.sequences * p.heads + Shape::UNITS - 1) / Shape::UNITS;
  Shared stage = mine * 4 * Shape::TILE;
  Shared square = 2 * Shape::STAGE + mine * Shape::SQUARE;
  const Dropout dropout(p);
  clear_rest(p, 3 * p.heads * Kernel::HEAD, Shape::THREADS);

  float logsum[2], next_logsum[2];
  Item next = find_item<KEYS, 1>(p, block() * Shape::UNITS + mine);
  Kernel::start(p, next, stage, next_logsum);
  int turn = 0;
  for (int group = block(); group < groups; group += blocks(), turn ^= 1) {
    const Item item = next;
    logsum[0] = next_logsum[0], logsum[1] = next_logsum[1];
    wait_copies();
    sync_block();  // this item's rows are there, and nobody needs the other stage any more
    next = find_item<KEYS, 1>(p, (group + blocks()) * Shape::UNITS + mine);
    Kernel::start(p, next, stage + (turn ^ 1) * Shape::STAGE, next_logsum);
    Kernel::differentiate(p, item, dropout, stage + turn * Shape::STAGE, square, logsum);
    spoil_beyond<KEYS>(p, item, Kernel::HEAD, 3, Kernel::me(), Shape::UNIT_THREADS);
  }
}
