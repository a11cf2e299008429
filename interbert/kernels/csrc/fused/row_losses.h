// Losses over many classes: a row of logits is read once, and once more for its gradient.
//
// A block takes a row. Rows begin at any even address, so that a chunk of 16 bytes may begin before its row or end
// behind it: those are read and written number by number.
#pragma once

#include "rows.h"

struct RowLoss {
  const unsigned char* logits;  // [rows, classes]
  const int64_t* target;        // [rows], or null
  const unsigned char* share;   // [rows, classes] of fp16: a distribution; or null
  const float* grad;            // [rows], of the losses
  float* loss;                  // [rows]
  float* stats;                 // [1 or 2, rows]: log2 of the sum of powers of two; a distribution's own sum
  uint8_t* right;               // [rows], whether the first largest logit is that of the target
  unsigned char* out;           // [rows, classes], backward
  int64_t ignored;              // rows with this target cost nothing
  int32_t rows, classes, bfloat16;
};

constexpr int LOSS_THREADS = 256, LOSS_WARPS = LOSS_THREADS / LANES;
constexpr float TO_BASE_2 = 1.4426950408889634f, FROM_BASE_2 = 0.6931471805599453f;
constexpr float LOWEST = -INFINITY;

// A row by chunks that are aligned in memory: chunk c has columns from 8 c - skew on.
struct Span {
  const unsigned char* row;
  int skew, classes;

  DEVICE Span(const unsigned char* rows, int64_t number, int classes)
      : row(rows + number * classes * 2), skew(reinterpret_cast<uintptr_t>(row) % 16 / 2), classes(classes) {}

  DEVICE int chunks() const { return (skew + classes + EACH - 1) / EACH; }
  DEVICE int first(int chunk) const { return chunk * EACH - skew; }
  DEVICE bool whole(int chunk) const { return first(chunk) >= 0 && first(chunk) + EACH <= classes; }
  DEVICE bool has(int chunk, int i) const { return first(chunk) + i >= 0 && first(chunk) + i < classes; }

  template <class T>
  DEVICE void read(float (&x)[EACH], int chunk, float otherwise) const {
    if (whole(chunk)) return read_8<T>(x, row - 2 * skew, chunk);
#pragma unroll
    for (int i = 0; i < EACH; i++) x[i] = has(chunk, i) ? read_1<T>(row, first(chunk) + i) : otherwise;
  }

  template <class T>
  DEVICE void write(unsigned char* to, const float (&x)[EACH], int chunk) const {
    if (whole(chunk)) return write_16(to + 2 * first(chunk), pack_8<T>(x));
#pragma unroll
    for (int i = 0; i < EACH; i++)
      if (has(chunk, i)) write_1<T>(to, first(chunk) + i, x[i]);
  }
};

// The largest so far, where it was first, and the sum of powers of two below it.
struct Top {
  float value = LOWEST, sum = 0;
  int place = 0x7fffffff;

  DEVICE void see(float other, float others_sum, int where) {
    const float most = fmaxf(value, other);
    if (most > LOWEST)
      sum = sum * exp2_of((value - most) * TO_BASE_2) + others_sum * exp2_of((other - most) * TO_BASE_2);
    else
      sum += others_sum;  // 0, or what is no number and stays so
    if (other > value || (other == value && where < place)) place = where;
    value = most;
  }

  DEVICE void see_chunk(const float (&x)[EACH], int first) {
    float most = x[0], added = 0;
#pragma unroll
    for (int i = 1; i < EACH; i++) most = fmaxf(most, x[i]);
    if (most == LOWEST) return;
    int where = 0;
#pragma unroll
    for (int i = EACH - 1; i >= 0; i--) {
      added += exp2_of((x[i] - most) * TO_BASE_2);
      if (x[i] == most) where = i;
    }
    see(most, added, first + where);
  }

  DEVICE void see_lane(int mask) {
    const float other = shuffle_xor(value, mask), others_sum = shuffle_xor(sum, mask);
    see(other, others_sum, __builtin_bit_cast(int, shuffle_xor(__builtin_bit_cast(float, place), mask)));
  }
};

// Of all of the block; `from`: where in shared memory. Nobody may still be reading there: at least one barrier lies
// between two uses of a place.
DEVICE float block_sum(float x, int from) {
  x = warp_sum(x);
  if (lane() == 0) store_float(from + warp(), x);
  sync_block();  // all warps' sums are there
  float sum = 0;
  for (int other = 0; other < LOSS_WARPS; other++) sum += load_float(from + other);
  return sum;
}

DEVICE Top block_top(Top top, int from) {
#pragma unroll
  for (int mask = LANES / 2; mask; mask /= 2) top.see_lane(mask);
  if (lane() == 0) {
    store_float(from + warp(), top.value);
    store_float(from + LOSS_WARPS + warp(), top.sum);
    store_4(4 * (from + 2 * LOSS_WARPS + warp()), top.place);
  }
  sync_block();  // all warps' tops are there
  Top best;
  for (int other = 0; other < LOSS_WARPS; other++)
    best.see(load_float(from + other), load_float(from + LOSS_WARPS + other), load_4(4 * (from + 2 * LOSS_WARPS + other)));
  return best;
}

template <class T>
KERNEL(LOSS_THREADS, 1) cross_entropy_forward(RowLoss p) {
  for (int row = block(); row < p.rows; row += blocks()) {
    const Span span(p.logits, row, p.classes);
    Top top;
    for (int chunk = thread(); chunk < span.chunks(); chunk += LOSS_THREADS) {
      float x[EACH];
      span.read<T>(x, chunk, LOWEST);
      top.see_chunk(x, span.first(chunk));
    }
    top = block_top(top, 0);
    if (thread() == 0) {
      const int64_t target = p.target[row];
      const bool counts = target != p.ignored;
      const float logsum = top.value * TO_BASE_2 + log2_of(top.sum);
      p.stats[row] = logsum;
      const bool real = target >= 0 && target < p.classes;  // else nobody is to take the loss for one
      p.loss[row] = !counts ? 0 : real ? logsum * FROM_BASE_2 - read_1<T>(span.row, static_cast<int>(target)) : NAN;
      p.right[row] = counts && top.place == target;
    }
    sync_block();  // the tops have been read: the next row's take their place
  }
}

template <class T>
KERNEL(LOSS_THREADS, 1) cross_entropy_backward(RowLoss p) {
  for (int row = block(); row < p.rows; row += blocks()) {
    const Span span(p.logits, row, p.classes);
    const int64_t target = p.target[row];
    const float logsum = p.stats[row], grad = target != p.ignored ? p.grad[row] : 0;
    unsigned char* out = p.out + static_cast<int64_t>(row) * p.classes * 2;
    for (int chunk = thread(); chunk < span.chunks(); chunk += LOSS_THREADS) {
      float x[EACH];
      span.read<T>(x, chunk, LOWEST);
#pragma unroll
      for (int i = 0; i < EACH; i++) {
        const float probability = exp2_of(x[i] * TO_BASE_2 - logsum);
        x[i] = grad * (span.first(chunk) + i == target ? probability - 1 : probability);
      }
      span.write<T>(out, x, chunk);
    }
  }
}

// KL from a distribution: the sum of share * (log share - log softmax).
template <class T>
KERNEL(LOSS_THREADS, 1) divergence_forward(RowLoss p) {
  for (int row = block(); row < p.rows; row += blocks()) {
    const Span span(p.logits, row, p.classes), shares(p.share, row, p.classes);
    Top top, largest;
    float mass = 0, cost = 0;  // cost: of share * (log share - logit)
    for (int chunk = thread(); chunk < span.chunks(); chunk += LOSS_THREADS) {
      float x[EACH], share[EACH];
      span.read<T>(x, chunk, LOWEST);
      shares.read<Float16>(share, chunk, 0);
      top.see_chunk(x, span.first(chunk));
#pragma unroll
      for (int i = 0; i < EACH; i++) {
        mass += share[i];
        if (share[i] > 0) cost += share[i] * (log2_of(share[i]) * FROM_BASE_2 - x[i]);
        if (!span.has(chunk, i)) share[i] = LOWEST;
      }
      largest.see_chunk(share, span.first(chunk));
    }
    top = block_top(top, 0);
    largest = block_top(largest, 3 * LOSS_WARPS);
    mass = block_sum(mass, 6 * LOSS_WARPS);
    cost = block_sum(cost, 7 * LOSS_WARPS);
    if (thread() == 0) {
      const float logsum = top.value * TO_BASE_2 + log2_of(top.sum);
      p.stats[row] = logsum, p.stats[p.rows + row] = mass;
      p.loss[row] = cost + mass * logsum * FROM_BASE_2;
      p.right[row] = top.place == largest.place;
    }
  }
}

template <class T>
KERNEL(LOSS_THREADS, 1) divergence_backward(RowLoss p) {
  for (int row = block(); row < p.rows; row += blocks()) {
    const Span span(p.logits, row, p.classes), shares(p.share, row, p.classes);
    const float logsum = p.stats[row], mass = p.stats[p.rows + row], grad = p.grad[row];
    unsigned char* out = p.out + static_cast<int64_t>(row) * p.classes * 2;
    for (int chunk = thread(); chunk < span.chunks(); chunk += LOSS_THREADS) {
      float x[EACH], share[EACH];
      span.read<T>(x, chunk, LOWEST);
      shares.read<Float16>(share, chunk, 0);
#pragma unroll
      for (int i = 0; i < EACH; i++) x[i] = grad * (mass * exp2_of(x[i] * TO_BASE_2 - logsum) - share[i]);
      span.write<T>(out, x, chunk);
    }
  }
}
