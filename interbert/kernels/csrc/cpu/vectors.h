// Sixteen floats at a time: bf16 in and out, exp, erf, GELU, counter-based bits.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <initializer_list>

using bf16 = uint16_t;

inline __mmask16 first(long count) {  // a mask for the first `count` of sixteen
  return count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1;
}

inline __m512 widen(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

inline __m512 load(const bf16* from, __mmask16 mask = 0xffff) {
  return widen(_mm256_maskz_loadu_epi16(mask, from));
}

inline __m256i narrow(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

inline __m512 rounded(__m512 x) { return widen(narrow(x)); }  // what bf16 keeps of x

inline void store(bf16* to, __m512 x, __mmask16 mask = 0xffff) {
  _mm256_mask_storeu_epi16(to, mask, narrow(x));
}

inline __m512 exp(__m512 x) {  // relative error below 1e-7; 0 far below, inf far above
  const __m512 n = _mm512_roundscale_ps(x * _mm512_set1_ps(1.44269504f), 0);
  const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f),
                                    _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x));
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  for (float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  p = _mm512_fmadd_ps(p * r, r, r + _mm512_set1_ps(1));
  return _mm512_scalef_ps(p, n);
}

// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7; `tail` is exp(-x * x), which GELU needs as well.
inline __m512 erf(__m512 x, __m512 tail) {
  const __m512 size = _mm512_abs_ps(x), one = _mm512_set1_ps(1);
  const __m512 t = one / _mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f), one);
  __m512 p = _mm512_set1_ps(1.061405429f);
  for (float c : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f})
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(c));
  const __m512 value = _mm512_fnmadd_ps(p * t, tail, one);
  return _mm512_mask_sub_ps(value, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps(),
                            value);
}

inline __m512 normal_cdf(__m512 x, __m512 tail) {
  return _mm512_fmadd_ps(erf(x * _mm512_set1_ps(0.70710678f), tail), _mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f));
}

// Of what is at most 0: never so small that the processor falls into its slow path for denormal numbers. (NaN stays
// NaN: of two operands, the maximum takes the second then.)
inline __m512 exp_falling(__m512 x) { return exp(_mm512_max_ps(_mm512_set1_ps(-80), x)); }

// exp(-x * x / 2)
inline __m512 bell(__m512 x) { return exp_falling(x * x * _mm512_set1_ps(-0.5f)); }

inline __m512 gelu(__m512 x) { return x * normal_cdf(x, bell(x)); }

inline __m512 gelu_slope(__m512 x) {
  const __m512 tail = bell(x);
  return _mm512_fmadd_ps(x * tail, _mm512_set1_ps(0.39894228f), normal_cdf(x, tail));
}

// Dropout's bits are a function of (seed, place): nothing to keep for the backward pass, and no matter how many
// threads. A byte decides about an element, so probabilities are multiples of 1/256.
struct Dropout {
  uint64_t seed;
  long threshold;  // an element is dropped when its byte is below; 0 = no dropout

  float scale() const { return 256.0f / (256 - threshold); }

  static uint64_t mix(uint64_t x) {  // the finaliser of splitmix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  }

  // Which of the sixteen elements at 16 * group .. 16 * group + 15 stay.
  __mmask16 kept(uint64_t group) const {
    if (threshold == 0) return 0xffff;
    const uint64_t a = mix(seed + 0x9e3779b97f4a7c15ull * (2 * group + 1));
    const uint64_t b = mix(seed + 0x9e3779b97f4a7c15ull * (2 * group + 2));
    return _mm_cmpge_epu8_mask(_mm_set_epi64x(b, a), _mm_set1_epi8(threshold));
  }
};
