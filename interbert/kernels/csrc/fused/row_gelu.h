// GELU of a product with its bias, and the way back with the sums that the bias's gradient is.
//
// A block takes 32 chunks of columns and a slab of rows; a thread one chunk, and every eighth row of the slab.
#pragma once

#include "rows.h"

struct Gelu {
  const unsigned char* x;     // [rows, width], before the bias
  const unsigned char* bias;  // [width]
  const unsigned char* grad;  // [rows, width], of the result
  unsigned char* y;           // the result; backward: gradient of x
  float* parts;               // [slabs, width], backward
  int32_t* slices;            // how many slabs there are
  int32_t rows, width, bfloat16;
};

constexpr int GELU_THREADS = 256, SLAB = 128;

// The normal distribution: how much lies below x, and the density there. Of erfc the approximation 7.1.26 of Abramowitz
// and Stegun, whose exponential the density needs anyway.
struct Normal {
  float below, density;

  DEVICE explicit Normal(float x) {
    const float t = inverse_of(1 + 0.3275911f * 0.70710678f * fabsf(x));
    const float e = exp2_of(-0.72134752f * x * x);
    const float tail =
        0.5f * e * t *
        (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    below = x < 0 ? tail : 1 - tail;
    density = 0.39894228f * e;
  }
};

DEVICE int gelu_tiles(const Gelu& p) { return (p.width / EACH + LANES - 1) / LANES; }
DEVICE int gelu_slabs(const Gelu& p) { return (p.rows + SLAB - 1) / SLAB; }

template <class T, bool BACKWARD>
DEVICE void gelu_row(const Gelu& p, int row, int chunk, const float (&bias)[EACH], float (&sums)[EACH]) {
  const int64_t at = static_cast<int64_t>(row) * p.width * 2;
  float x[EACH], g[EACH];
  read_8<T>(x, p.x + at, chunk);
  if (BACKWARD) read_8<T>(g, p.grad + at, chunk);
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    const float before = x[i] + bias[i];
    const Normal normal(before);
    x[i] = BACKWARD ? g[i] * (normal.below + before * normal.density) : before * normal.below;
    if (BACKWARD) sums[i] += x[i];
  }
  write_16(p.y + at + 16 * chunk, pack_8<T>(x));
}

// Of the block's eight rows at a time, added up.
DEVICE void leave_columns(const Gelu& p, int slab, int chunk, const float (&sums)[EACH]) {
  for (int i = 0; i < EACH; i++) store_float(i * GELU_THREADS + thread(), sums[i]);
  sync_block();  // all warps' sums are there
  if (warp() == 0 && chunk < p.width / EACH)
    for (int i = 0; i < EACH; i++) {
      float sum = 0;
      for (int other = 0; other < GELU_THREADS / LANES; other++)
        sum += load_float(i * GELU_THREADS + other * LANES + lane());
      p.parts[static_cast<int64_t>(slab) * p.width + chunk * EACH + i] = sum;
    }
  sync_block();  // they have been read: the next ones take their place
}

template <class T, bool BACKWARD>
KERNEL(GELU_THREADS, 1) gelu_rows(Gelu p) {
  const int tiles = gelu_tiles(p), slabs = gelu_slabs(p);
  if (BACKWARD && block() == 0 && thread() == 0) *p.slices = slabs;
  for (int item = block(); item < tiles * slabs; item += blocks()) {
    const int slab = item / tiles, chunk = item % tiles * LANES + lane();
    float bias[EACH], sums[EACH] = {};
    if (chunk < p.width / EACH) {
      read_parameters<T>(bias, p.bias, chunk);
      const int end = (slab + 1) * SLAB < p.rows ? (slab + 1) * SLAB : p.rows;
#pragma unroll 2
      for (int row = slab * SLAB + warp(); row < end; row += GELU_THREADS / LANES)
        gelu_row<T, BACKWARD>(p, row, chunk, bias, sums);
    }
    if (BACKWARD) leave_columns(p, slab, chunk, sums);
  }
}
