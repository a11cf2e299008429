// LayerNorm of a sum of rows, with dropout before or after it; a warp to a row, which stays in its registers.
//
//   before:  y = norm(drop(x + bias) + more + …)      a layer's end: x a product, `more` the residual
//   after:   y = drop(norm(x + bias + more + …))      embeddings, and a norm alone
//
// The backward pass adds the rows up again, so that nothing is kept but mean and deviation, and draws the mask again.
#pragma once

#include "rows.h"

constexpr int MOST_SOURCES = 3;

struct RowNorm {
  const unsigned char* source[MOST_SOURCES];  // [.., width]; the first is x; null where there are fewer
  const int64_t* index[MOST_SOURCES];         // [rows], which row of the source; null: each its own
  const unsigned char* bias;                  // [width] or null
  const unsigned char *weight, *shift;        // [width]
  const unsigned char* grad;                  // [rows, width], of y
  const int64_t* rng;                         // seed and offset; null without dropout
  unsigned char* y;                           // [rows, width]; backward: gradient of x
  unsigned char* sum_grad;                    // of the sum, where that is another one; or null
  float* stats;                               // [2, rows]: mean, 1 / deviation
  float* parts;                               // [blocks, 2 or 3, width], backward: of weight, shift, and bias if any
  int32_t* slices;                            // how many blocks left parts
  int32_t rows, width, threshold, stream, after, bfloat16, most_blocks;
  float eps;
};

// Chunks of a lane; beyond 768 elements fewer warps, for the backward pass keeps three sums of each column.
constexpr int norm_threads(int chunks) { return chunks <= 3 ? 384 : 256; }

template <class T, int CHUNKS, bool AFTER>
struct Norm {
  static constexpr int WARPS = norm_threads(CHUNKS) / LANES;

  static DEVICE RowDropout dropout(const RowNorm& p) {
    return {p.rng, static_cast<uint32_t>(p.threshold), static_cast<uint32_t>(p.stream)};
  }

  static DEVICE bool has(const RowNorm& p, int k) { return k * LANES + lane() < p.width / EACH; }

  static DEVICE void add(float (&sum)[EACH], const RowNorm& p, int number, int row, int chunk) {
    if (!p.source[number]) return;
    const int64_t which = p.index[number] ? p.index[number][row] : row;
    float x[EACH];
    read_8<T>(x, p.source[number] + which * p.width * 2, chunk);
#pragma unroll
    for (int i = 0; i < EACH; i++) sum[i] += x[i];
  }

  // The sum of the sources, 0 beyond the end of the row.
  static DEVICE void total(float (&t)[CHUNKS][EACH], const RowNorm& p, int row) {
    const RowDropout mask = dropout(p);
    Drawn drawn = {{0, 0, 0, 0}};
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
#pragma unroll
      for (int i = 0; i < EACH; i++) t[k][i] = 0;
      const int chunk = k * LANES + lane();
      if (has(p, k)) {
        add(t[k], p, 0, row, chunk);
        if (p.bias) {
          float bias[EACH];
          read_parameters<T>(bias, p.bias, chunk);
#pragma unroll
          for (int i = 0; i < EACH; i++) t[k][i] += bias[i];
        }
      }
      if (!AFTER) mask.drop(t[k], drawn, row, k);
      if (has(p, k))
        for (int number = 1; number < MOST_SOURCES; number++) add(t[k], p, number, row, chunk);
    }
  }

  static DEVICE void forward(const RowNorm& p, int row) {
    float t[CHUNKS][EACH], sum = 0, squares = 0;
    total(t, p, row);
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
#pragma unroll
      for (int i = 0; i < EACH; i++) sum += t[k][i];
    const float mean = warp_sum(sum) / p.width;
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
#pragma unroll
      for (int i = 0; i < EACH; i++) {
        const float away = t[k][i] - mean;
        if (has(p, k)) squares += away * away;
      }
    const float inverse = 1 / sqrtf(warp_sum(squares) / p.width + p.eps);
    const RowDropout mask = dropout(p);
    Drawn drawn = {{0, 0, 0, 0}};
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
      const int chunk = k * LANES + lane();
      float w[EACH], b[EACH];
      if (has(p, k)) {
        read_parameters<T>(w, p.weight, chunk);
        read_parameters<T>(b, p.shift, chunk);
#pragma unroll
        for (int i = 0; i < EACH; i++) t[k][i] = (t[k][i] - mean) * inverse * w[i] + b[i];
      }
      if (AFTER) mask.drop(t[k], drawn, row, k);
      if (has(p, k)) write_16(p.y + static_cast<int64_t>(row) * p.width * 2 + 16 * chunk, pack_8<T>(t[k]));
    }
    if (lane() == 0) p.stats[row] = mean, p.stats[p.rows + row] = inverse;
  }

  // Sums of columns that a thread keeps: gradients of weight, shift, and bias.
  struct Sums {
    float of[3][CHUNKS][EACH];
  };

  static DEVICE void backward(const RowNorm& p, int row, Sums& sums) {
    float t[CHUNKS][EACH], g[CHUNKS][EACH], straight = 0, along = 0;
    const float mean = p.stats[row], inverse = p.stats[p.rows + row];
    const int64_t at = static_cast<int64_t>(row) * p.width * 2;
    const RowDropout mask = dropout(p);
    total(t, p, row);
    Drawn drawn = {{0, 0, 0, 0}};
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
#pragma unroll
      for (int i = 0; i < EACH; i++) g[k][i] = 0;
      if (has(p, k)) read_8<T>(g[k], p.grad + at, k * LANES + lane());
      if (AFTER) mask.drop(g[k], drawn, row, k);
      if (has(p, k)) {
        float w[EACH];
        read_parameters<T>(w, p.weight, k * LANES + lane());
#pragma unroll
        for (int i = 0; i < EACH; i++) {
          t[k][i] = (t[k][i] - mean) * inverse;
          sums.of[0][k][i] += g[k][i] * t[k][i];
          sums.of[1][k][i] += g[k][i];
          g[k][i] *= w[i];
          straight += g[k][i];
          along += g[k][i] * t[k][i];
        }
      }
    }
    straight = warp_sum(straight) / p.width, along = warp_sum(along) / p.width;
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
      const int chunk = k * LANES + lane();
#pragma unroll
      for (int i = 0; i < EACH; i++) g[k][i] = inverse * (g[k][i] - straight - t[k][i] * along);
      if (p.sum_grad && has(p, k)) write_16(p.sum_grad + at + 16 * chunk, pack_8<T>(g[k]));
      if (!AFTER) mask.drop(g[k], drawn, row, k);
      if (has(p, k)) {
        write_16(p.y + at + 16 * chunk, pack_8<T>(g[k]));
        if (p.bias)
#pragma unroll
          for (int i = 0; i < EACH; i++) sums.of[2][k][i] += g[k][i];
      }
    }
  }

  // What the block's warps have summed goes to its place among the parts, in the warps' order.
  static DEVICE void leave(const RowNorm& p, const Sums& sums) {
    const int arrays = p.bias ? 3 : 2;
    if (block() == 0 && thread() == 0) *p.slices = blocks();
#pragma unroll
    for (int which = 0; which < 3; which++) {
      if (which < arrays) {
#pragma unroll
        for (int k = 0; k < CHUNKS; k++)
          if (has(p, k))
#pragma unroll
            for (int i = 0; i < EACH; i++)
              store_float(warp() * p.width + (k * LANES + lane()) * EACH + i, sums.of[which][k][i]);
        sync_block();  // all warps' sums are there
        for (int column = thread(); column < p.width; column += WARPS * LANES) {
          float sum = 0;
          for (int other = 0; other < WARPS; other++) sum += load_float(other * p.width + column);
          p.parts[(static_cast<int64_t>(block()) * arrays + which) * p.width + column] = sum;
        }
        sync_block();  // they have been read: the next ones take their place
      }
    }
  }
};

template <class T, int CHUNKS, bool AFTER>
KERNEL(norm_threads(CHUNKS), 1) row_norm_forward(RowNorm p) {
  using Kernel = Norm<T, CHUNKS, AFTER>;
  for (int row = block() * Kernel::WARPS + warp(); row < p.rows; row += blocks() * Kernel::WARPS)
    Kernel::forward(p, row);
}

template <class T, int CHUNKS, bool AFTER>
KERNEL(norm_threads(CHUNKS), 1) row_norm_backward(RowNorm p) {
  using Kernel = Norm<T, CHUNKS, AFTER>;
  typename Kernel::Sums sums;
#pragma unroll
  for (int k = 0; k < CHUNKS; k++)
#pragma unroll
    for (int i = 0; i < EACH; i++) sums.of[0][k][i] = sums.of[1][k][i] = sums.of[2][k][i] = 0;
  for (int row = block() * Kernel::WARPS + warp(); row < p.rows; row += blocks() * Kernel::WARPS)
    Kernel::backward(p, row, sums);
  Kernel::leave(p, sums);
}
