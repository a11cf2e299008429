// Attention over packed sequences: a (sequence, head) at a time, wholly in the cache of one core.
//
// The backward pass makes the probabilities again from queries and keys, and dropout's bits from their seed, so
// nothing is kept between the two.

#include <omp.h>

#include <cmath>

#include "tiles.h"

namespace {

// c[M padded to 32][stride] = a b, where a or b may be meant transposed; padding comes out as zeros.
void small_product(const Matrix& a, bool a_transposed, const Matrix& b, bool b_transposed, float* c, long stride) {
  const long M = blocks(a_transposed ? a.columns : a.rows), K = blocks(a_transposed ? a.rows : a.columns);
  const long N = blocks(b_transposed ? b.rows : b.columns);
  bf16* a_tiles = scratch<0, bf16>(2 * M * K * TILE);
  bf16* b_tiles = scratch<1, bf16>(2 * N * K * TILE);
  for (long m = 0; m < M; ++m)
    for (long k = 0; k < K; ++k) {
      bf16* to = a_tiles + 2 * (m * K + k) * TILE;
      if (a_transposed) {
        a.pack_columns_as_rows(32 * k, 32 * m, to, to + TILE);
      } else {
        a.pack_rows(32 * m, 32 * k, to);
        a.pack_rows(32 * m + 16, 32 * k, to + TILE);
      }
    }
  for (long n = 0; n < N; ++n)
    for (long k = 0; k < K; ++k) {
      bf16* to = b_tiles + 2 * (n * K + k) * TILE;
      if (b_transposed) {
        b.pack_rows_as_columns(32 * n, 32 * k, to);
        b.pack_rows_as_columns(32 * n + 16, 32 * k, to + TILE);
      } else {
        b.pack_columns(32 * k, 32 * n, to, to + TILE);
      }
    }
  for (long m = 0; m < M; ++m)
    for (long n = 0; n < N; ++n)
      multiply(packed(a_tiles + 2 * m * K * TILE), b_tiles + 2 * n * K * TILE, K, c + 32 * (m * stride + n), stride);
}

void write(const float* from, long from_stride, bf16* to, long to_stride, long rows, long columns) {
  for (long i = 0; i < rows; ++i)
    for (long j = 0; j < columns; j += 16)
      store(to + i * to_stride + j, _mm512_loadu_ps(from + i * from_stride + j), first(columns - j));
}

struct Heads {
  const bf16* qkv;  // [T, 3, heads, width]
  const int32_t* offsets;
  long sequences, heads, width;
  Dropout dropout;

  long row() const { return heads * width; }
};

// One sequence as one head sees it.
struct One {
  const Heads& all;
  long start, length, head;

  long padded() const { return 32 * blocks(length); }
  float scale() const { return 1 / std::sqrt(float(all.width)); }
  Matrix part(long which) const {
    return {all.qkv + start * 3 * all.row() + which * all.row() + head * all.width, length, all.width, 3 * all.row()};
  }
  __mmask16 kept(long i, long j) const {
    return all.dropout.kept(((start + i) * all.heads + head) * 4096 + j / 16);
  }

  // p[padded][padded], zeros outside the sequence.
  void probabilities(float* p) const {
    const long wide = padded();
    small_product(part(0), false, part(1), true, p, wide);
    for (long i = 0; i < length; ++i) softmax(p + i * wide);
  }

  void softmax(float* row) const {
    const __m512 factor = _mm512_set1_ps(scale());
    __m512 top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (long j = 0; j < length; j += 16)
      top = _mm512_mask_max_ps(top, first(length - j), top, _mm512_loadu_ps(row + j));
    const __m512 shift = _mm512_set1_ps(_mm512_reduce_max_ps(top)) * factor;
    for (long j = 0; j < length; j += 16) {
      const __m512 x = _mm512_fmsub_ps(_mm512_loadu_ps(row + j), factor, shift);
      const __m512 e = _mm512_maskz_mov_ps(first(length - j), exp_falling(x));
      _mm512_storeu_ps(row + j, e);
      sum = sum + e;
    }
    const __m512 norm = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum));
    for (long j = 0; j < length; j += 16) _mm512_storeu_ps(row + j, _mm512_loadu_ps(row + j) * norm);
  }

  Matrix square(const bf16* data) const { return {data, length, length, padded()}; }

  // Probabilities after dropout, as the products take them.
  void dropped(const float* p, bf16* to) const {
    const __m512 factor = _mm512_set1_ps(all.dropout.scale());
    for (long i = 0; i < length; ++i)
      for (long j = 0; j < length; j += 16)
        store(to + i * padded() + j, _mm512_maskz_mul_ps(kept(i, j), _mm512_loadu_ps(p + i * padded() + j), factor));
  }

  void forward(bf16* out) const {
    const long wide = padded(), deep = 32 * blocks(all.width);
    float* p = scratch<2, float>(wide * wide);
    bf16* half = scratch<3, bf16>(wide * wide);
    float* sums = scratch<4, float>(wide * deep);
    probabilities(p);
    dropped(p, half);
    small_product(square(half), false, part(2), false, sums, deep);
    write(sums, deep, out + start * all.row() + head * all.width, all.row(), length, all.width);
  }

  void backward(const bf16* grad_out, bf16* grad) const {
    const long wide = padded(), deep = 32 * blocks(all.width);
    float* p = scratch<2, float>(wide * wide);
    bf16* half = scratch<3, bf16>(wide * wide);
    float* sums = scratch<4, float>(wide * deep);
    float* slope = scratch<5, float>(wide * wide);
    const Matrix arriving{grad_out + start * all.row() + head * all.width, length, all.width, all.row()};
    bf16* to = grad + start * 3 * all.row() + head * all.width;
    probabilities(p);
    dropped(p, half);
    small_product(square(half), true, arriving, false, sums, deep);
    write(sums, deep, to + 2 * all.row(), 3 * all.row(), length, all.width);
    small_product(arriving, false, part(2), true, slope, wide);
    for (long i = 0; i < length; ++i) softmax_backward(p + i * wide, slope + i * wide, i, half + i * wide);
    small_product(square(half), false, part(1), false, sums, deep);
    write(sums, deep, to, 3 * all.row(), length, all.width);
    small_product(square(half), true, part(0), false, sums, deep);
    write(sums, deep, to + all.row(), 3 * all.row(), length, all.width);
  }

  void softmax_backward(const float* p, float* slope, long i, bf16* to) const {
    const __m512 factor = _mm512_set1_ps(all.dropout.scale());
    __m512 dot = _mm512_setzero_ps();
    for (long j = 0; j < length; j += 16) {
      const __m512 x = _mm512_maskz_mul_ps(kept(i, j), _mm512_loadu_ps(slope + j), factor);
      _mm512_storeu_ps(slope + j, x);
      dot = _mm512_fmadd_ps(x, _mm512_loadu_ps(p + j), dot);
    }
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(dot)), last = _mm512_set1_ps(scale());
    for (long j = 0; j < length; j += 16)
      store(to + j, _mm512_loadu_ps(p + j) * (_mm512_loadu_ps(slope + j) - mean) * last);
  }
};

template <class F>
void each(const Heads& heads, long threads, F work) {
#pragma omp parallel num_threads(threads)
  {
    Tiles configured;
#pragma omp for schedule(dynamic, 4)
    for (long n = 0; n < heads.sequences * heads.heads; ++n) {
      const long b = n / heads.heads, start = heads.offsets[b], length = heads.offsets[b + 1] - start;
      if (length > 0) work(One{heads, start, length, n % heads.heads});
    }
  }
}

}  // namespace

extern "C" void attention_forward(const bf16* qkv, const int32_t* offsets, long sequences, long heads, long width,
                                  uint64_t seed, long threshold, bf16* out, long threads) {
  const Heads all{qkv, offsets, sequences, heads, width, {seed, threshold}};
  each(all, threads, [&](const One& one) { one.forward(out); });
}

extern "C" void attention_backward(const bf16* qkv, const bf16* grad_out, const int32_t* offsets, long sequences,
                                   long heads, long width, uint64_t seed, long threshold, bf16* grad, long threads) {
  const Heads all{qkv, offsets, sequences, heads, width, {seed, threshold}};
  each(all, threads, [&](const One& one) { one.backward(grad_out, grad); });
}
