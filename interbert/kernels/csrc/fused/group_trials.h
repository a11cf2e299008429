// Trials of products of four warps: of 64 rows of a tile or a panel, from rows as they lie in memory.
//
// in: 48 x 256 elements of 16 bits in rows. Where there are no such products the same comes out one by one.
#pragma once

#include "tiles.h"

namespace {

struct GroupTrial {
  const unsigned char* in;
  uint32_t* out;
};

// 64 rows, of CHUNKS * 8 columns from `column` on, from row `first` on and again from the beginning.
template <int CHUNKS>
DEVICE void bring_rows(const GroupTrial& t, Shared to, int first, int column) {
  for (int i = thread(); i < 64 * CHUNKS; i += 128) {
    const int row = i / CHUNKS, chunk = i % CHUNKS;
    const unsigned char* from = t.in + (first + row) % 48 * 512 + 2 * column + 16 * chunk;
    copy_async(to + (row * CHUNKS + (chunk ^ (row & 7) / (8 / CHUNKS))) * 16, from, true);
  }
  wait_copies();
}

template <class T, int CHUNKS>
DEVICE float element_of(Shared panel, int row, int column) {
  const int chunk = column / 8;
  float both[2];
  unpack<T>(both, load_4(panel + (row * CHUNKS + (chunk ^ (row & 7) / (8 / CHUNKS))) * 16 + column % 8 / 2 * 4));
  return column % 2 ? both[1] : both[0];
}

// By itself: element i of this thread's sums.
template <class T, int CHUNKS, int KIND>
DEVICE uint32_t one_by_one(Shared panel, Shared rows, int i) {
  const int row = thread() / 32 * 16 + thread() % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + thread() % 4 * 2 + i % 2;
  float sum = 0;
#pragma unroll 1
  for (int k = 0; k < (KIND == 0 ? 8 * CHUNKS : 16); k++) {
    const int down = KIND == 2 ? k : row, across = KIND == 2 ? row % (8 * CHUNKS) : k;
    sum += element_of<T, CHUNKS>(panel, down, across) * (KIND == 0 ? element_of<T, 8>(rows, column, k) : element_of<T, 8>(rows, k, column));
  }
  return __builtin_bit_cast(uint32_t, sum);
}

// 64 x 32, where the panel is a whole tile; 64 x 64; and 64 x 64 of the panel across, as far as it is wide.
template <class T, int CHUNKS>
KERNEL(128, 1) group_products(GroupTrial t) {
  constexpr Shared PANEL = 64 * CHUNKS * 16;
  bring_rows<CHUNKS>(t, 0, 7, 32);
  bring_rows<8>(t, PANEL, 21, 160);
  fence_copies();
  sync_block();
  const bool wide = thread() / 32 * 16 < 8 * CHUNKS;
  uint32_t* out = t.out + thread() * 80;
  if (WARPGROUPS) {
    float rows[16] = {}, columns[32], across[32];
    open_products();
    if (CHUNKS == 8)
#pragma unroll
      for (int k = 0; k < 4; k++) multiply_rows<T, 32>(rows, 0, 64, PANEL, k, k > 0);
    close_products();
    multiply_columns<T, false>(columns, {0, CHUNKS}, 0, 64, PANEL, false);
    multiply_columns<T, true>(across, {0, CHUNKS}, 0, 64, PANEL, false);
    close_products();
    await_products<1>(rows);
#pragma unroll
    for (int i = 0; i < 16; i++) out[i] = __builtin_bit_cast(uint32_t, rows[i]);
    await_products<0>(columns, across);
#pragma unroll
    for (int i = 0; i < 32; i++) {
      out[16 + i] = __builtin_bit_cast(uint32_t, columns[i]);
      out[48 + i] = wide ? __builtin_bit_cast(uint32_t, across[i]) : 0;
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < 32; i++) {
      if (i < 16) out[i] = CHUNKS == 8 ? one_by_one<T, CHUNKS, 0>(0, PANEL, i) : 0;
      out[16 + i] = one_by_one<T, CHUNKS, 1>(0, PANEL, i);
      out[48 + i] = wide ? one_by_one<T, CHUNKS, 2>(0, PANEL, i) : 0;
    }
  }
}

// Four matrices of 8 x 8, each stored as its transpose, a row of 16 bytes from each lane.
KERNEL(32, 1) stored_transposed(GroupTrial t) {
  const int lane = thread();
  uint32_t words[4];
  for (int i = 0; i < 4; i++) words[i] = reinterpret_cast<const uint32_t*>(t.in)[32 * i + lane];
  if (WARPGROUPS) {
    store_transposed(16 * lane, words);
    sync_warp();
    write_16(t.out + 4 * lane, load_16(16 * lane));
  } else {
    for (int i = 0; i < 4; i++) store_4(16 * (8 * i) + 4 * lane, words[i]);
    sync_warp();
    for (int i = 0; i < 4; i++) {
      uint32_t both = 0;
      for (int half = 0; half < 2; half++) {
        const uint32_t word = load_4(16 * (lane / 8 * 8 + 2 * i + half) + lane % 8 / 2 * 4);
        both |= (word >> 16 * (lane % 2) & 0xffff) << 16 * half;
      }
      t.out[4 * lane + i] = both;
    }
  }
}

}  // namespace
