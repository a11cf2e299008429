// The intrinsics that csrc/cpu uses, in plain C++: found in the place of the compiler's own header, this runs those
// sources on any processor. For tests: it is as strict as the processor where that faults (what must be aligned, tiles
// that nobody configured), touches exactly the memory that the instruction touches, and rounds where it rounds.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
typedef long long __m256i __attribute__((vector_size(32), may_alias));
typedef long long __m128i __attribute__((vector_size(16), may_alias));
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;
enum { _CMP_LT_OQ = 0x11 };

namespace portable {

[[noreturn]] inline void fault(const char* why) {
  std::fprintf(stderr, "the processor would fault here: %s\n", why);
  std::abort();
}

inline void need_aligned(const void* place) {
  if (reinterpret_cast<uintptr_t>(place) % 64) fault("memory is not aligned to 64 bytes");
}

// A register as an array of T, and back.
template <class T, class V>
struct Lanes {
  static constexpr int count = sizeof(V) / sizeof(T);
  T at[count];
  Lanes() : at{} {}
  Lanes(V v) { std::memcpy(at, &v, sizeof v); }
  T& operator[](int i) { return at[i]; }
  operator V() const {
    V v;
    std::memcpy(&v, at, sizeof v);
    return v;
  }
};
using Floats = Lanes<float, __m512>;
using Words = Lanes<uint32_t, __m512i>;
using Longs = Lanes<uint64_t, __m512i>;
using Halves = Lanes<uint16_t, __m512i>;

template <class F>
__m512 each(F value) {
  Floats out;
  for (int i = 0; i < 16; ++i) out[i] = value(i);
  return out;
}

// Elements whose bit is not set are not touched.
template <class V, class T>
V read(const void* from, uint32_t mask) {
  Lanes<T, V> out;
  for (int i = 0; i < out.count; ++i)
    if (mask >> i & 1) std::memcpy(&out[i], static_cast<const T*>(from) + i, sizeof(T));
  return out;
}

template <class V, class T>
void write(void* to, uint32_t mask, V value) {
  Lanes<T, V> in = value;
  for (int i = 0; i < in.count; ++i)
    if (mask >> i & 1) std::memcpy(static_cast<T*>(to) + i, &in[i], sizeof(T));
}

// Of each 128 bits of a and b: their low or high halves, element by element in turn.
template <class T>
__m512i interleave(__m512i a, __m512i b, bool high) {
  Lanes<T, __m512i> x = a, y = b, out;
  const int lane = 16 / sizeof(T), half = lane / 2;
  for (int i = 0; i < out.count; i += lane)
    for (int j = 0; j < half; ++j) {
      out[i + 2 * j] = x[i + j + high * half];
      out[i + 2 * j + 1] = y[i + j + high * half];
    }
  return out;
}

template <class F>
float reduce(__m512 v, F both) {
  Floats x = v;
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) x[i] = both(x[i + n], x[i]);
  return x[0];
}

inline float larger(float a, float b) { return a > b ? a : b; }  // b if either is NaN
inline float sum(float a, float b) { return a + b; }

inline float from_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

inline float no_denormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

inline uint16_t to_bf16(float x) {  // to the nearest, of two to the even one
  uint32_t bits;
  x = no_denormal(x);
  std::memcpy(&bits, &x, 4);
  if (std::isnan(x)) return bits >> 16 | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline float from_bf16(uint16_t x) { return no_denormal(from_bits(uint32_t(x) << 16)); }

inline float scalef(float x, float n) {  // x 2^floor(n), and what the manual says of the rest
  if (std::isnan(n)) return n;
  if (std::isnan(x)) return std::isinf(n) ? n > 0 ? INFINITY : 0 : x;
  if (std::isinf(n)) return (n > 0 ? x == 0 : std::isinf(x)) ? NAN : std::copysign(n > 0 ? INFINITY : 0, x);
  return std::ldexp(x, int(std::fmin(std::fmax(std::floor(n), -1000), 1000)));
}

// The tile registers of one thread.
struct Tiles {
  struct Config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Config) == 64);
  Config config = {};
  unsigned char data[8][16][64] = {};

  unsigned char (&tile(int number))[16][64] {
    if (!config.palette) fault("the tiles are not configured");
    if (config.rows[number] == 0 || config.row_bytes[number] == 0) fault("this tile is not configured");
    return data[number];
  }
  void zero(int number) { std::memset(tile(number), 0, sizeof data[number]); }
};
inline Tiles& tiles() {
  static thread_local Tiles mine;
  return mine;
}

}  // namespace portable

// Of this thread, for tests to look into.
extern "C" __attribute__((used)) inline void* portable_tile_config() { return &portable::tiles().config; }

// ---- Floats

inline __m512 _mm512_set1_ps(float x) { return portable::each([&](int) { return x; }); }
inline __m512 _mm512_setzero_ps() { return _mm512_set1_ps(0); }
inline __m512 _mm512_loadu_ps(const void* from) { return portable::read<__m512, float>(from, 0xffff); }
inline __m512 _mm512_maskz_loadu_ps(__mmask16 m, const void* from) { return portable::read<__m512, float>(from, m); }
inline __m512 _mm512_load_ps(const void* from) { return portable::need_aligned(from), _mm512_loadu_ps(from); }
inline void _mm512_storeu_ps(void* to, __m512 x) { portable::write<__m512, float>(to, 0xffff, x); }
inline void _mm512_mask_storeu_ps(void* to, __mmask16 m, __m512 x) { portable::write<__m512, float>(to, m, x); }
inline float _mm512_cvtss_f32(__m512 x) { return x[0]; }

inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return portable::each([&](int i) { return std::fma(a[i], b[i], c[i]); });
}
inline __m512 _mm512_fmsub_ps(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, -c); }
inline __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(-a, b, c); }
inline __m512 _mm512_max_ps(__m512 a, __m512 b) {
  return portable::each([&](int i) { return portable::larger(a[i], b[i]); });
}
inline __m512 _mm512_abs_ps(__m512 x) { return portable::each([&](int i) { return std::fabs(x[i]); }); }
inline __m512 _mm512_scalef_ps(__m512 x, __m512 n) {
  return portable::each([&](int i) { return portable::scalef(x[i], n[i]); });
}
inline __m512 _mm512_roundscale_ps(__m512 x, int how) {
  if (how) portable::fault("only rounding to the nearest whole number is written down here");
  return portable::each([&](int i) { return std::nearbyint(x[i]); });
}
inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int how) {
  if (how != _CMP_LT_OQ) portable::fault("only `less than` is written down here");
  __mmask16 mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (a[i] < b[i]) << i;
  return mask;
}

inline __m512 _mm512_mask_mov_ps(__m512 otherwise, __mmask16 m, __m512 x) {
  return portable::each([&](int i) { return m >> i & 1 ? x[i] : otherwise[i]; });
}
inline __m512 _mm512_maskz_mov_ps(__mmask16 m, __m512 x) { return _mm512_mask_mov_ps(_mm512_setzero_ps(), m, x); }
inline __m512 _mm512_maskz_mul_ps(__mmask16 m, __m512 a, __m512 b) { return _mm512_maskz_mov_ps(m, a * b); }
inline __m512 _mm512_maskz_sub_ps(__mmask16 m, __m512 a, __m512 b) { return _mm512_maskz_mov_ps(m, a - b); }
inline __m512 _mm512_mask_add_ps(__m512 o, __mmask16 m, __m512 a, __m512 b) { return _mm512_mask_mov_ps(o, m, a + b); }
inline __m512 _mm512_mask_sub_ps(__m512 o, __mmask16 m, __m512 a, __m512 b) { return _mm512_mask_mov_ps(o, m, a - b); }
inline __m512 _mm512_mask_max_ps(__m512 o, __mmask16 m, __m512 a, __m512 b) {
  return _mm512_mask_mov_ps(o, m, _mm512_max_ps(a, b));
}
inline float _mm512_reduce_add_ps(__m512 x) { return portable::reduce(x, portable::sum); }
inline float _mm512_reduce_max_ps(__m512 x) { return portable::reduce(x, portable::larger); }

// ---- bf16

inline __m256i _mm512_cvtneps_pbh(__m512 x) {
  portable::Lanes<uint16_t, __m256i> out;
  for (int i = 0; i < 16; ++i) out[i] = portable::to_bf16(x[i]);
  return out;
}
inline __m512i _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
  portable::Halves out;
  for (int i = 0; i < 16; ++i) out[i] = portable::to_bf16(low[i]), out[i + 16] = portable::to_bf16(high[i]);
  return out;
}

// ---- Words

inline __m512i _mm512_setzero_si512() { return __m512i{}; }
inline __m512 _mm512_castsi512_ps(__m512i x) { return (__m512)x; }
inline __m512i _mm512_set_epi64(long long h, long long g, long long f, long long e, long long d, long long c, long long b,
                                long long a) {
  return __m512i{a, b, c, d, e, f, g, h};
}
inline __m512i _mm512_cvtepu16_epi32(__m256i x) {
  portable::Lanes<uint16_t, __m256i> in = x;
  portable::Words out;
  for (int i = 0; i < 16; ++i) out[i] = in[i];
  return out;
}
inline __m512i _mm512_slli_epi32(__m512i x, unsigned count) {
  portable::Words out = x;
  for (int i = 0; i < 16; ++i) out[i] <<= count;
  return out;
}
inline __m256i _mm256_maskz_loadu_epi16(__mmask16 m, const void* from) {
  return portable::read<__m256i, uint16_t>(from, m);
}
inline void _mm256_mask_storeu_epi16(void* to, __mmask16 m, __m256i x) { portable::write<__m256i, uint16_t>(to, m, x); }
inline __m512i _mm512_maskz_loadu_epi16(__mmask32 m, const void* from) {
  return portable::read<__m512i, uint16_t>(from, m);
}
inline void _mm512_mask_storeu_epi16(void* to, __mmask32 m, __m512i x) { portable::write<__m512i, uint16_t>(to, m, x); }
inline void _mm512_store_si512(void* to, __m512i x) {
  portable::need_aligned(to);
  std::memcpy(to, &x, 64);
}
inline void _mm512_stream_si512(__m512i* to, __m512i x) { _mm512_store_si512(to, x); }
inline void _mm_sfence() {}

inline __m512i _mm512_unpacklo_epi16(__m512i a, __m512i b) { return portable::interleave<uint16_t>(a, b, false); }
inline __m512i _mm512_unpackhi_epi16(__m512i a, __m512i b) { return portable::interleave<uint16_t>(a, b, true); }
inline __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b) { return portable::interleave<uint32_t>(a, b, false); }
inline __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b) { return portable::interleave<uint32_t>(a, b, true); }
inline __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b) { return portable::interleave<uint64_t>(a, b, false); }
inline __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b) { return portable::interleave<uint64_t>(a, b, true); }
inline __m512i _mm512_permutex2var_epi64(__m512i a, __m512i which, __m512i b) {
  portable::Longs x = a, y = b, from = which, out;
  for (int i = 0; i < 8; ++i) out[i] = (from[i] & 8 ? y : x)[from[i] & 7];
  return out;
}
inline __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int which) {
  portable::Longs x = a, y = b, out;
  for (int i = 0; i < 8; ++i) out[i] = (i < 4 ? x : y)[2 * (which >> i / 2 * 2 & 3) + i % 2];
  return out;
}

inline __m128i _mm_set_epi64x(long long b, long long a) { return __m128i{a, b}; }
inline __m128i _mm_set1_epi8(char x) {
  __m128i out;
  std::memset(&out, x, sizeof out);
  return out;
}
inline __mmask16 _mm_cmpge_epu8_mask(__m128i a, __m128i b) {
  portable::Lanes<uint8_t, __m128i> x = a, y = b;
  __mmask16 mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (x[i] >= y[i]) << i;
  return mask;
}

// ---- Tiles

inline void _tile_storeconfig(void* to) { std::memcpy(to, &portable::tiles().config, 64); }
inline void _tile_loadconfig(const void* from) {
  portable::tiles() = {};
  std::memcpy(&portable::tiles().config, from, 64);
  if (portable::tiles().config.palette > 1) portable::fault("there is no such palette of tiles");
}
inline void _tile_release() { portable::tiles() = {}; }
inline void _tile_zero(int tile) { portable::tiles().zero(tile); }
inline void _tile_loadd(int tile, const void* from, long stride) {
  portable::Tiles& all = portable::tiles();
  all.zero(tile);
  for (int r = 0; r < all.config.rows[tile]; ++r)
    std::memcpy(all.data[tile][r], static_cast<const char*>(from) + r * stride, all.config.row_bytes[tile]);
}
inline void _tile_stream_loadd(int tile, const void* from, long stride) { _tile_loadd(tile, from, stride); }
inline void _tile_stored(int tile, void* to, long stride) {
  portable::Tiles& all = portable::tiles();
  for (int r = 0; r < all.config.rows[tile]; ++r)
    std::memcpy(static_cast<char*>(to) + r * stride, all.tile(tile)[r], all.config.row_bytes[tile]);
}

// c += a b: sums of the even and of the odd places of a row of a, added to each other and then to c.
inline void _tile_dpbf16ps(int c, int a, int b) {
  portable::Tiles& all = portable::tiles();
  float wide_b[16][32];
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < 32; ++n) {
      uint16_t bits;
      std::memcpy(&bits, all.tile(b)[k] + 2 * n, 2);
      wide_b[k][n] = portable::from_bf16(bits);
    }
  for (int m = 0; m < all.config.rows[c]; ++m) {
    float sums[32] = {}, row[16];
    for (int k = 0; k < all.config.row_bytes[a] / 4; ++k) {
      uint16_t pair[2];
      std::memcpy(pair, all.tile(a)[m] + 4 * k, 4);
      const float x[2] = {portable::from_bf16(pair[0]), portable::from_bf16(pair[1])};
      for (int n = 0; n < 32; ++n) sums[n] += x[n % 2] * wide_b[k][n];  // exact products: as good as fused
    }
    std::memcpy(row, all.tile(c)[m], 64);
    for (int n = 0; n < 16; ++n) row[n] += sums[2 * n] + sums[2 * n + 1];
    std::memcpy(all.data[c][m], row, all.config.row_bytes[c]);
  }
}
