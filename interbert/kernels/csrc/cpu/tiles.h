// The tile registers: 16 rows of 32 bf16 (A), 16 pairs of rows of 16 columns (B), 16 x 16 floats (C), 1 KB each.
#pragma once

#include <immintrin.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "vectors.h"

constexpr long TILE = 512;  // bf16 in a tile
constexpr long BLOCK = 32;  // products are made in blocks of 2 x 2 tiles

inline long blocks(long n) { return (n + BLOCK - 1) / BLOCK; }

// All eight tiles at full size, as long as it lives; whoever configured them before finds his own again.
class Tiles {
 public:
  Tiles() {
    _tile_storeconfig(before_);
    alignas(64) unsigned char all[64] = {1};
    for (int tile = 0; tile < 8; ++tile) all[16 + 2 * tile] = 64, all[48 + tile] = 16;
    _tile_loadconfig(all);
  }
  ~Tiles() { before_[0] ? _tile_loadconfig(before_) : _tile_release(); }
  Tiles(const Tiles&) = delete;

 private:
  alignas(64) unsigned char before_[64];
};

// Memory of one thread that grows and stays.
template <int name, class T>
T* scratch(long count) {
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<T, Free> memory;
  thread_local long size = 0;
  if (count > size) {
    memory.reset(static_cast<T*>(std::aligned_alloc(4096, (count * sizeof(T) + 4095) / 4096 * 4096)));
    size = count;
  }
  return memory.get();
}

// 32 rows of A: where its two tiles lie for the first 32 columns, and how far it is to the next.
struct Rows {
  const bf16 *upper, *lower;
  long stride;  // from row to row
  long step;    // from tile to tile
};

enum Passing { NOTHING, A_PASSES, B_PASSES };

// c (32 x 32) = a (32 x 32k) times b (32k x 32, pairs of tiles), added to c if asked. What only passes by is loaded
// so that it leaves the first-level cache to the other side: this is worth more than half of the speed again.
template <Passing passing = NOTHING>
inline void multiply(const Rows& a, const bf16* b, long k, float* c, long stride = BLOCK, bool add = false) {
  float* const lower = c + 16 * stride;
  const long bytes = 4 * stride;
  asm volatile("" ::: "memory");  // the compiler does not know that tile loads read memory
  if (add) {
    _tile_loadd(0, c, bytes);
    _tile_loadd(1, c + 16, bytes);
    _tile_loadd(2, lower, bytes);
    _tile_loadd(3, lower + 16, bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
#define LOAD(side, tile, from, stride) \
  if (passing == side)                 \
    _tile_stream_loadd(tile, from, stride); \
  else                                 \
    _tile_loadd(tile, from, stride)
  for (long i = 0; i < k; ++i) {
    LOAD(B_PASSES, 6, b + 2 * i * TILE, 64);
    LOAD(A_PASSES, 4, a.upper + i * a.step, 2 * a.stride);
    _tile_dpbf16ps(0, 4, 6);
    LOAD(B_PASSES, 7, b + (2 * i + 1) * TILE, 64);
    _tile_dpbf16ps(1, 4, 7);
    LOAD(A_PASSES, 5, a.lower + i * a.step, 2 * a.stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
#undef LOAD
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + 16, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + 16, bytes);
  asm volatile("" ::: "memory");
}

inline void transpose(__m512i r[16]) {  // 16 x 16 words of 32 bits
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88), r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

inline __mmask32 first32(long count) {
  return count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1;
}

inline Rows packed(const bf16* tiles) { return {tiles, tiles + TILE, 32, 2 * TILE}; }

// A matrix of bf16 in memory. What lies outside reads as zeros.
struct Matrix {
  const bf16* data;
  long rows, columns, stride;

  // 32 columns of a row.
  __m512i row(long i, long column) const {
    if (i >= rows) return _mm512_setzero_si512();
    return _mm512_maskz_loadu_epi16(first32(columns - column), data + i * stride + column);
  }

  // Rows i, i + 1 interleaved: 16 columns in `left`, the next 16 in `right`.
  void pair(long i, long column, __m512i& left, __m512i& right) const {
    const __m512i a = row(i, column), b = row(i + 1, column);
    const __m512i low = _mm512_unpacklo_epi16(a, b), high = _mm512_unpackhi_epi16(a, b);
    left = _mm512_permutex2var_epi64(low, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), high);
    right = _mm512_permutex2var_epi64(low, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), high);
  }

  // A tile whose row is a row of the matrix: 16 x 32 from (i, j).
  void pack_rows(long i, long j, bf16* tile) const {
    for (int r = 0; r < 16; ++r) _mm512_store_si512(tile + 32 * r, row(i + r, j));
  }

  // The same as B's tile of the transposed matrix: pairs of columns, 16 rows side by side.
  void pack_rows_as_columns(long i, long j, bf16* tile) const {
    __m512i r[16];
    for (int n = 0; n < 16; ++n) r[n] = row(i + n, j);
    transpose(r);
    for (int n = 0; n < 16; ++n) _mm512_store_si512(tile + 32 * n, r[n]);
  }

  // B's tiles of 32 rows x 32 columns from (i, j).
  void pack_columns(long i, long j, bf16* left, bf16* right) const {
    for (int n = 0; n < 16; ++n) {
      __m512i a, b;
      pair(i + 2 * n, j, a, b);
      _mm512_store_si512(left + 32 * n, a), _mm512_store_si512(right + 32 * n, b);
    }
  }

  // A's tiles of the transposed matrix, 32 rows x 32 columns from (i, j): columns become rows.
  void pack_columns_as_rows(long i, long j, bf16* upper, bf16* lower) const {
    __m512i a[16], b[16];
    for (int n = 0; n < 16; ++n) pair(i + 2 * n, j, a[n], b[n]);
    transpose(a), transpose(b);
    for (int n = 0; n < 16; ++n) {
      _mm512_store_si512(upper + 32 * n, a[n]);
      _mm512_store_si512(lower + 32 * n, b[n]);
    }
  }
};
