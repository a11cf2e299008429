// Fragments one below the other, by an address that a thread computes once: what follows is known when compiling.
#pragma once

#include "problem.h"

// From the address of the first one to that of row 16 r, column 16 c.
template <int CHUNKS>
DEVICE Shared of_known(Shared first, int r, int c) {
  constexpr int PANEL = panel_chunks(CHUNKS);
  return (first ^ 16 * (2 * c % PANEL)) + (band_place<CHUNKS>(r) + panel_place<CHUNKS>(2 * c / PANEL));
}

// As down() of tiles.h.
template <int CHUNKS>
struct Down {
  Shared first;

  DEVICE explicit Down(Shared tile)
      : first(fresh(tile + place<CHUNKS>(thread() % 16, thread() % 32 / 16))) {}
  DEVICE Shared at(int r, int c) const { return of_known<CHUNKS>(first, r, c); }
};

// As beside().
template <int CHUNKS>
struct Beside {
  Shared first;

  DEVICE explicit Beside(Shared tile)
      : first(fresh(tile + place<CHUNKS>(thread() % 32 / 16 * 8 + thread() % 8, thread() / 8 % 2))) {}
  DEVICE Shared at(int r, int c) const { return of_known<CHUNKS>(first, r, c); }
};

// A square is blocks of 16 x 16 elements, those of the same rows beside each other, each a tile of two chunks.
constexpr int SQUARE_BLOCK = 16 * 16 * BYTES;

// This thread's elements of the blocks of some rows: of block n, its left or right half, upper or lower rows.
struct Pairs {
  Shared first;

  DEVICE explicit Pairs(Shared blocks) : first(fresh(blocks + place<2>(upper_row(), 0) + 2 * left_column())) {}
  DEVICE Shared at(int n, int right, int lower) const {
    return (first ^ 16 * right) + (n * SQUARE_BLOCK + lower * SQUARE_BLOCK / 2);
  }
};

// All fragments of 16 rows.
template <int CHUNKS>
DEVICE void load_band(uint32_t (&words)[CHUNKS / 2][4], Shared tile, int band) {
  const Down<CHUNKS> rows(tile + band * band_place<CHUNKS>(1));
#pragma unroll
  for (int k = 0; k < CHUNKS / 2; k++) load_matrices(words[k], rows.at(0, k));
}

// 16 rows times a band of others: 16 x 16 products.
template <class T, int CHUNKS>
DEVICE void times_columns(float (&sum)[2][4], const uint32_t (&a)[CHUNKS / 2][4], const Beside<CHUNKS>& columns,
                          int band) {
  clear(sum);
#pragma unroll
  for (int k = 0; k < CHUNKS / 2; k++) {
    uint32_t b[4];
    load_matrices(b, columns.at(band, k));
    multiply<T>(sum[0], a[k], b[0], b[1]);
    multiply<T>(sum[1], a[k], b[2], b[3]);
  }
}

// Sums of 16 rows: a fragment of factors times a band of rows, of their columns 16 * first and following.
template <class T, int CHUNKS, int SUMS>
DEVICE void add_rows(float (&sum)[SUMS][4], const uint32_t (&a)[4], const Down<CHUNKS>& rows, int band, int first = 0) {
#pragma unroll
  for (int c = 0; c < SUMS / 2; c++) {
    uint32_t b[4];
    load_transposed(b, rows.at(band, first + c));
    multiply<T>(sum[2 * c], a, b[0], b[1]);
    multiply<T>(sum[2 * c + 1], a, b[2], b[3]);
  }
}

// Up to 16 rows out of shared memory, by one warp, 16 bytes a lane.
template <int CHUNKS>
DEVICE void write_band(unsigned char* to, int64_t pitch, Shared band, int rows) {
  const BandWalk<CHUNKS> walk;
  to += walk.row * pitch + walk.byte();
  walk.over(band, [&](Shared from, int down, int byte) {
    if (walk.row + down < rows) write_16(to + down * pitch + byte, load_16(from));
  });
}
