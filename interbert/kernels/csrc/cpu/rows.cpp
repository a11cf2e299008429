// What a layer does to each row between its products: dropout, residual and LayerNorm in one pass, and the
// cross-entropy over a vocabulary.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

namespace {

float total(__m512 x) { return _mm512_reduce_add_ps(x); }

void add(float* to, __m512 x, __mmask16 mask) {
  _mm512_mask_storeu_ps(to, mask, _mm512_maskz_loadu_ps(mask, to) + x);
}

// Sums over rows, a thread's own added up at the end in the threads' order.
struct ColumnSums {
  std::vector<std::vector<float>> parts;
  ColumnSums(long threads, long columns) : parts(threads, std::vector<float>(columns)) {}
  float* mine() { return parts[omp_get_thread_num()].data(); }
  void write(bf16* to, long columns) {
    for (size_t t = 1; t < parts.size(); ++t)
      for (long j = 0; j < columns; ++j) parts[0][j] += parts[t][j];
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      store(to + j, _mm512_maskz_loadu_ps(mask, parts[0].data() + j), mask);
    }
  }
};

}  // namespace

extern "C" void column_sums(const bf16* x, long rows, long columns, bf16* sums, long threads) {
  ColumnSums found(threads, columns);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long i = 0; i < rows; ++i) {
    float* mine = found.mine();
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      add(mine + j, load(x + i * columns + j, mask), mask);
    }
  }
  found.write(sums, columns);
}

// Through GELU, and on to the bias before it.
extern "C" void gelu_backward(const bf16* grad, const bf16* before, long rows, long columns, bf16* out, bf16* grad_bias,
                              long threads) {
  ColumnSums biases(threads, columns);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long i = 0; i < rows; ++i) {
    float* to_bias = biases.mine();
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      const long place = i * columns + j;
      const __m512 x = rounded(load(grad + place, mask) * gelu_slope(load(before + place, mask)));
      store(out + place, x, mask);
      add(to_bias + j, x, mask);
    }
  }
  biases.write(grad_bias, columns);
}

// sum = residual + dropout(x); y = LayerNorm(sum). `sum` and `inverse` (1 / deviation), `mean` serve the backward pass.
extern "C" void add_norm_forward(const bf16* x, const bf16* residual, const bf16* weight, const bf16* bias, long rows,
                                 long columns, float eps, uint64_t seed, long threshold, bf16* sum, float* mean,
                                 float* inverse, bf16* y, long threads) {
  const Dropout dropout{seed, threshold};
  const __m512 factor = _mm512_set1_ps(dropout.scale());
  const long groups = (columns + 15) / 16;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long i = 0; i < rows; ++i) {
    const long row = i * columns;
    __m512 all = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      const __m512 kept = _mm512_maskz_mul_ps(dropout.kept(i * groups + j / 16), load(x + row + j, mask), factor);
      const __m512 h = rounded(load(residual + row + j, mask) + kept);
      store(sum + row + j, h, mask);
      all = all + h;
    }
    const float centre = total(all) / columns;
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      const __m512 h = _mm512_maskz_sub_ps(mask, load(sum + row + j, mask), _mm512_set1_ps(centre));
      squares = _mm512_fmadd_ps(h, h, squares);
    }
    const float scale = 1 / std::sqrt(total(squares) / columns + eps);
    mean[i] = centre, inverse[i] = scale;
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      const __m512 h = (load(sum + row + j, mask) - _mm512_set1_ps(centre)) * _mm512_set1_ps(scale);
      store(y + row + j, _mm512_fmadd_ps(h, load(weight + j, mask), load(bias + j, mask)), mask);
    }
  }
}

extern "C" void add_norm_backward(const bf16* grad, const bf16* sum, const bf16* weight, const float* mean,
                                  const float* inverse, long rows, long columns, uint64_t seed, long threshold,
                                  bf16* grad_x, bf16* grad_residual, bf16* grad_weight, bf16* grad_bias, long threads) {
  const Dropout dropout{seed, threshold};
  const __m512 factor = _mm512_set1_ps(dropout.scale());
  const long groups = (columns + 15) / 16;
  ColumnSums weights(threads, columns), biases(threads, columns);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long i = 0; i < rows; ++i) {
    const long row = i * columns;
    const __m512 centre = _mm512_set1_ps(mean[i]), scale = _mm512_set1_ps(inverse[i]);
    __m512 sum_g = _mm512_setzero_ps(), sum_gh = _mm512_setzero_ps();
    float *to_weight = weights.mine(), *to_bias = biases.mine();
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      const __m512 h = (load(sum + row + j, mask) - centre) * scale, dy = load(grad + row + j, mask);
      const __m512 g = dy * load(weight + j, mask);
      add(to_weight + j, dy * h, mask);
      add(to_bias + j, dy, mask);
      sum_g = sum_g + g;
      sum_gh = _mm512_fmadd_ps(g, h, sum_gh);
    }
    const __m512 mean_g = _mm512_set1_ps(total(sum_g) / columns), mean_gh = _mm512_set1_ps(total(sum_gh) / columns);
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      const __m512 h = (load(sum + row + j, mask) - centre) * scale;
      const __m512 g = load(grad + row + j, mask) * load(weight + j, mask);
      const __m512 dh = rounded((g - mean_g - h * mean_gh) * scale);
      store(grad_residual + row + j, dh, mask);
      store(grad_x + row + j, _mm512_maskz_mul_ps(dropout.kept(i * groups + j / 16), dh, factor), mask);
    }
  }
  weights.write(grad_weight, columns);
  biases.write(grad_bias, columns);
}

// Of each row of logits: log of the sum of exponentials, minus log-likelihood of the target (0 where it is
// negative), and whether the target is the first of the largest.
extern "C" void cross_entropy_forward(const bf16* logits, const int64_t* targets, long rows, long columns,
                                      float* log_sum, float* loss, uint8_t* correct, long threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long i = 0; i < rows; ++i) {
    const bf16* row = logits + i * columns;
    __m512 top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      top = _mm512_mask_max_ps(top, mask, top, load(row + j, mask));
    }
    const float largest = _mm512_reduce_max_ps(top);
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      sum = _mm512_mask_add_ps(sum, mask, sum, exp_falling(load(row + j, mask) - _mm512_set1_ps(largest)));
    }
    log_sum[i] = largest + std::log(total(sum));
    const long target = targets[i];
    loss[i] = 0, correct[i] = 0;
    if (target < 0) continue;
    const float value = _mm512_cvtss_f32(load(row + target, 1));
    loss[i] = log_sum[i] - value;
    correct[i] = value == largest && std::find(row, row + target, row[target]) == row + target;
  }
}

extern "C" void cross_entropy_backward(const bf16* logits, const int64_t* targets, const float* log_sum, long rows,
                                       long columns, const float* grad, bf16* grad_logits, long threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long i = 0; i < rows; ++i) {
    const long row = i * columns, target = targets[i];
    const __m512 factor = _mm512_set1_ps(target < 0 ? 0 : grad[i]), shift = _mm512_set1_ps(log_sum[i]);
    for (long j = 0; j < columns; j += 16) {
      const __mmask16 mask = first(columns - j);
      store(grad_logits + row + j, exp_falling(load(logits + row + j, mask) - shift) * factor, mask);
    }
    if (target < 0) continue;
    const __m512 p = exp(_mm512_set1_ps(_mm512_cvtss_f32(load(logits + row + target, 1)) - log_sum[i]));
    store(grad_logits + row + target, (p - _mm512_set1_ps(1)) * factor, 1);
  }
}
