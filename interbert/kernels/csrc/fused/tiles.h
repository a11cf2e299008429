// Tiles of 16-bit elements in shared memory, and the fragments of them that the matrix unit takes.
#pragma once

#include "primitives.h"

// A tile is bands of 16 rows, one below the other; a band is panels of 8, 4 or 2 chunks, a chunk being 8 elements; a
// panel is its rows, one below the other. So a band of a panel is what a copy in bulk brings, and a tile's height is
// nobody's concern. Chunks of a panel's row are exchanged by a pattern of the row, the hardware's own, so that any 8
// rows below each other lie in 8 different groups of banks.
ANYWHERE int panel_chunks(int chunks) { return chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : 2; }

template <int CHUNKS>
ANYWHERE Shared band_place(int band) {
  return band * BAND * CHUNKS * 16;
}

template <int CHUNKS>
ANYWHERE Shared panel_place(int panel) {
  return panel * BAND * panel_chunks(CHUNKS) * 16;
}

// Byte offset of a chunk in a tile whose rows hold CHUNKS of them: row < 16, chunk < 2, or in the first panel.
//
// What is known when compiling (multiples of 8 rows and of 2 chunks, the other two being less) is given apart, so that
// all fragments share the few addresses that a thread must compute; `fresh` keeps the compiler from holding each of the
// others in a register of its own all the time.
template <int CHUNKS>
DEVICE Shared place(int row, int chunk, int known_row = 0, int known_chunk = 0) {
  static_assert(CHUNKS % 2 == 0, "rows are multiples of 16 elements");
  constexpr int PANEL = panel_chunks(CHUNKS), REPEAT = 8 / PANEL;
  const Shared own = fresh((row * PANEL + (chunk ^ (row & 7) / REPEAT)) * 16);
  const int exchanged = known_chunk % PANEL ^ (known_row & 7) / REPEAT;
  const Shared down = (known_row & ~15) * (CHUNKS * 16) + (known_row & 15) * (PANEL * 16);
  return (own ^ 16 * exchanged) + (down + panel_place<CHUNKS>(known_chunk / PANEL));
}

// How a warp goes over a band, 16 bytes a lane and step: rows of panels, as they lie in memory.
template <int CHUNKS>
struct BandWalk {
  static constexpr int PANEL = panel_chunks(CHUNKS), ROWS = 32 / PANEL;
  int row, chunk;  // of this lane at the first step

  DEVICE BandWalk() : row(thread() % 32 / PANEL), chunk(thread() % PANEL) {}

  DEVICE int byte() const { return 16 * chunk; }

  // visit(place, rows and bytes from the first step's); where ROWS is 4, `row` has the two bits that it leaves to it.
  template <class Visit>
  DEVICE void over(Shared band, Visit visit) const {
#pragma unroll
    for (int down = 0; down < BAND; down += ROWS)
#pragma unroll
      for (int panel = 0; panel < CHUNKS / PANEL; panel++)
        visit(band + place<CHUNKS>(row, chunk, down, panel * PANEL), down, panel * PANEL * 16);
  }
};

// Four 8 x 8 matrices make a fragment of 16 x 16 elements, whose first is at row 16 r, column 16 c of the tile.
// `down`: the second matrix lies below the first one; otherwise beside it.
//
//   operand                  stored as       loaded
//   A (rows x depth)         rows, depth     down, as it is
//   A (rows x depth)         depth, rows     beside, transposed
//   B (depth x columns)      columns, depth  beside, as it is     (two fragments: words 0, 1 and words 2, 3)
//   B (depth x columns)      depth, columns  down, transposed     (as above)
template <int CHUNKS>
DEVICE Shared down(Shared tile, int r, int c) {
  const int lane = thread() % 32;
  return tile + place<CHUNKS>(lane % 16, lane / 16, 16 * r, 2 * c);
}

template <int CHUNKS>
DEVICE Shared beside(Shared tile, int r, int c) {
  const int lane = thread() % 32;
  return tile + place<CHUNKS>(lane / 16 * 8 + lane % 8, lane / 8 % 2, 16 * r, 2 * c);
}

// The same for a loop: a thread's own part is computed once, and each fragment is one operation away from it.
template <int CHUNKS>
struct Fragments {
  static constexpr int PANEL = panel_chunks(CHUNKS);
  Shared own;

  static DEVICE Fragments of_down() { return at(thread() % 16, thread() % 32 / 16); }
  static DEVICE Fragments of_beside() { return at(thread() % 32 / 16 * 8 + thread() % 8, thread() / 8 % 2); }

  // Of the band at `band`, `below` bands further down, columns 16 c and following.
  DEVICE Shared in(Shared band, int c, int below = 0) const {
    return (own ^ 16 * (2 * c % PANEL)) + band + (panel_place<CHUNKS>(2 * c / PANEL) + band_place<CHUNKS>(below));
  }

 private:
  static DEVICE Fragments at(int row, int chunk) { return {(row * PANEL + (chunk ^ (row & 7) / (8 / PANEL))) * 16u}; }
};

// A thread's part of a fragment of sums, 16 rows x 8 columns: rows `lane / 4` and 8 below, columns 2 * (lane % 4)
// and the next one, in the order (upper row, both columns), (lower row, both columns).
DEVICE int upper_row() { return thread() % 32 / 4; }
DEVICE int left_column() { return thread() % 4 * 2; }

// Where this thread's two elements of a fragment lie: of rows 16 r and following, columns 8 n and following.
template <int CHUNKS>
DEVICE Shared own_pair(Shared tile, int r, int n, int lower) {
  return tile + place<CHUNKS>(upper_row(), n % 2, 16 * r + 8 * lower, n / 2 * 2) + 2 * left_column();
}

// Rows 16 r and following of a tile, from sums packed two columns to a word.
template <int CHUNKS>
DEVICE void store_fragments(Shared tile, int r, const uint32_t (&words)[CHUNKS][2]) {
#pragma unroll
  for (int n = 0; n < CHUNKS; n++)
#pragma unroll
    for (int half = 0; half < 2; half++) store_4(own_pair<CHUNKS>(tile, r, n, half), words[n][half]);
}

template <class T, int N>
DEVICE void pack_all(uint32_t (&words)[N][2], const float (&sums)[N][4], float factor) {
#pragma unroll
  for (int n = 0; n < N; n++) {
    words[n][0] = pack<T>(sums[n][0] * factor, sums[n][1] * factor);
    words[n][1] = pack<T>(sums[n][2] * factor, sums[n][3] * factor);
  }
}

template <int N>
DEVICE void clear(float (&sums)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sums[n][i] = 0;
}

// The largest, or the sum, over the four lanes that share a row.
DEVICE float row_max(float x) {
  x = fmaxf(x, shuffle_xor(x, 1));
  return fmaxf(x, shuffle_xor(x, 2));
}

DEVICE float row_sum(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}
