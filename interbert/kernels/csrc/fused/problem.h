// What the kernels are given, and which part of it a group of warps works on.
#pragma once

#include "stages.h"

// Element (t, part, h, i) of qkv: token, one of query, key, value; head; place in the head.
struct Problem {
  const unsigned char* qkv;      // [T, 3, H, D] of 16-bit elements
  const unsigned char* grad;     // [T, H, D], of the backward pass
  unsigned char* out;            // [T, H, D], or in the backward pass [T, 3, H, D]
  float* logsum;                 // [H, T], log2 of the sums of powers of two
  const int32_t* offsets;        // [sequences + 1]
  const int32_t* order;          // [units], units longest first; or null
  const int64_t* rng;            // seed and offset; or null
  int32_t tokens, sequences, heads;
  int32_t longest;               // no sequence is longer
  int32_t threshold;             // of 256 probabilities, so many are dropped
  int32_t bfloat16;
  int32_t most_blocks;           // no more are started; 0: as many as fit
};

// Short units share a block, to fill it with four warps; wide ones would take too much shared memory for that.
constexpr int units_in_block(int width, int keys) {
  const int four_warps = keys <= 16 ? 4 : keys <= 32 ? 2 : 1;
  return width > 96 && four_warps > 1 ? four_warps / 2 : four_warps;
}

// Where a head's elements of a token begin, in bytes; a token has `parts` times all heads.
DEVICE int64_t element(const Problem& p, int parts, int token, int part, int unit, int64_t head_bytes) {
  return ((static_cast<int64_t>(token) * parts + part) * p.heads + unit % p.heads) * head_bytes;
}

constexpr int BYTES = 2;
constexpr float LOG2_E = 1.4426950408889634f;

// One sequence under one head. Few numbers, as they stay in registers.
struct Item {
  int unit, start, length;  // start: the first token; length 0: nothing to do
};

template <int KEYS>
DEVICE Item find_item(const Problem& p, int number) {
  Item item = {0, 0, 0};
  if (number >= p.sequences * p.heads) return item;
  item.unit = p.order ? p.order[number] : number;
  const int sequence = item.unit / p.heads;
  item.start = p.offsets[sequence];
  const int length = p.offsets[sequence + 1] - item.start;
  item.length = length < KEYS ? length : KEYS;
  return item;
}

// Rows that belong to no sequence are zeros; rows that `longest` had no place for are NaN, so that nobody misses it.
DEVICE void fill_rows(unsigned char* to, int64_t bytes, uint32_t word, int64_t me, int64_t workers) {
  for (int64_t i = me; i < bytes / 16; i += workers) write_16(to + 16 * i, {{word, word, word, word}});
}

DEVICE void clear_rest(const Problem& p, int64_t row_bytes, int threads) {
  const int64_t used = p.offsets[p.sequences];
  fill_rows(p.out + used * row_bytes, (p.tokens - used) * row_bytes, 0,
            static_cast<int64_t>(block()) * threads + thread(), static_cast<int64_t>(blocks()) * threads);
}

template <int KEYS>
DEVICE void spoil_beyond(const Problem& p, const Item& item, int64_t head_bytes, int parts, int me, int workers) {
  if (item.length < KEYS) return;
  const int sequence = item.unit / p.heads;
  for (int row = item.start + KEYS; row < p.offsets[sequence + 1]; row++)
    for (int part = 0; part < parts; part++)
      fill_rows(p.out + element(p, parts, row, part, item.unit, head_bytes), head_bytes, 0xffffffffu, me, workers);
}
