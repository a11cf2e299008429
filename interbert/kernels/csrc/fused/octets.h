// A head's queries, keys and values in shared memory, as copies of 8 rows of all three bring them.
//
// An octet is 8 rows of the queries, below them those of the keys, then of the values; each of the three is panels of
// these rows, as in tiles.h, with the same pattern of chunks. A unit is octets, one below the other, at a multiple of
// 512 bytes, of 1024 where a panel is 8 chunks wide; a band is two of them.
#pragma once

#include "tiles.h"

template <int D>
struct Octets {
  static constexpr int ROWS = 8, CHUNKS = D / 8, PANEL = panel_chunks(CHUNKS), REPEAT = 8 / PANEL;
  static constexpr int ROW = PANEL * 16, PART = ROWS * CHUNKS * 16, OCTET = 3 * PART, BAND_BYTES = 2 * OCTET;
  static constexpr int KEYS = PART, VALUES = 2 * PART;

  static DEVICE uint32_t lane() { return static_cast<uint32_t>(thread()) % 32; }

  // Of rows 8 r and following, the panel of chunk `chunk`.
  static ANYWHERE Shared known(int r, int chunk) { return r * OCTET + chunk / PANEL * (ROWS * ROW); }

  static DEVICE Shared own(uint32_t row, uint32_t chunk) {
    return row / 8 * OCTET + row % 8 * ROW + (chunk ^ row % 8 / REPEAT) * 16;
  }

  // A lane's row of the four matrices of a fragment of 16 x 16, as in tiles.h.
  static DEVICE Shared down() { return own(lane() % 16, lane() / 16); }
  static DEVICE Shared beside() { return own(lane() / 16 * 8 + lane() % 8, lane() / 8 % 2); }

  // From a lane's place in the fragment of columns 0 and following to that of columns 16 c, `below` bands further.
  static DEVICE Shared fragment(Shared first, int c, int below = 0) {
    return (first ^ 16 * (2 * c % PANEL)) + (known(0, 2 * c) + below * BAND_BYTES);
  }
};

// Rows `row` and following, as many octets as they begin, by one warp. What a copy in bulk brings of rows beyond the
// last one is its neighbour's.
template <int D>
DEVICE void start_octets(Shared to, const Heads& from, int row, int head, int rows, Shared arrivals) {
  using O = Octets<D>;
  if (BULK) {
    if (elect())
#pragma unroll 4
      for (int i = 0; O::ROWS * i < rows; i++)
        copy_heads<O::CHUNKS, O::PANEL>(to + i * O::OCTET, from, row + O::ROWS * i, head, arrivals);
    return;
  }
  constexpr int STEP = 32 / O::PANEL;  // rows at a time
  const int mine = O::lane() / O::PANEL, chunk = O::lane() % O::PANEL;
  const unsigned char* memory = from.memory + (row + mine) * from.pitch + head * (D * 2) + 16 * chunk;
#pragma unroll 1
  for (int left = rows - mine; left > -mine; left -= O::ROWS, to += O::OCTET, memory += O::ROWS * from.pitch)
#pragma unroll
    for (int part = 0; part < 3; part++)
#pragma unroll
      for (int down = 0; down < O::ROWS; down += STEP)
#pragma unroll
        for (int panel = 0; panel < O::CHUNKS / O::PANEL; panel++)
          copy_async(to + (O::own(mine, chunk) ^ 16 * (down / O::REPEAT)) + down * O::ROW + part * O::PART +
                         O::known(0, panel * O::PANEL),
                     memory + part * (from.pitch / 3) + down * from.pitch + panel * O::ROW, down < left);
}

// Sums of 16 rows in place of a band's queries, packed two columns to a word.
template <int D>
DEVICE void store_queries(Shared band, const uint32_t (&words)[D / 8][2]) {
  using O = Octets<D>;
  const uint32_t lane = fresh(O::lane());
  const Shared first = fresh(band + O::own(lane / 4, 0) + lane % 4 * 4);
#pragma unroll
  for (int n = 0; n < O::CHUNKS; n++)
#pragma unroll
    for (int half = 0; half < 2; half++) store_4((first ^ 16 * (n % O::PANEL)) + O::known(half, n), words[n][half]);
}

// And up to 16 rows of them out of shared memory, by one warp, 16 bytes a lane.
template <int D>
DEVICE void write_queries(unsigned char* to, int64_t pitch, Shared band, int rows) {
  using O = Octets<D>;
  constexpr int STEP = 32 / O::PANEL;
  const uint32_t lane = fresh(O::lane());
  const int row = lane / O::PANEL, chunk = lane % O::PANEL;
  const Shared first = fresh(band + O::own(row, chunk));
  to += row * pitch + 16 * chunk;
#pragma unroll
  for (int down = 0; down < BAND; down += STEP)
#pragma unroll
    for (int panel = 0; panel < O::CHUNKS / O::PANEL; panel++) {
      const Shared from = (first ^ 16 * (down % 8 / O::REPEAT)) + down % 8 * O::ROW + O::known(down / 8, panel * O::PANEL);
      if (row + down < rows) write_16(to + down * pitch + panel * O::ROW, load_16(from));
    }
}
