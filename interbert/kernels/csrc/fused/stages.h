// Rows of units on their way into shared memory: in bulk, 16 rows with an instruction, or 16 bytes with each.
//
// A stage is some tiles that are filled together, and the arrivals at which one waits for all of them:
//
//   once      the part's leader: prepare_stage(part, arrivals) for each, then fence_arrivals(); the part's barrier
//   filling   all of the part: start_rows<D> for each tile, or start_tiles<D> for several with the same rows; then
//             seal_stage with the bytes of all, which may be none
//   using     await(arrivals, parity), parity 0 at first, then by turns; end_rows<D> for each tile; the part's barrier
//   again     fence_copies(), the part's barrier (may be the one after end_rows of the other stage), and filling
//
// Whatever the way, rows of a tile from the last one up to a multiple of 16 are zeros after end_rows and the barrier.
// In bulk they are at first the rows of whoever comes next, and these may be NaN, which no factor of zero takes away. A
// tile can do without end_rows where what comes of those rows is selected away (masked scores, results never written).
//
// A tile begins at a multiple of 1024 bytes.
#pragma once

#include "parts.h"
#include "tiles.h"

template <int D>
ANYWHERE uint32_t bytes_of_rows(int rows) {
  return (rows + BAND - 1) / BAND * BAND * D * 2;
}

template <int THREADS, int PARTS>
DEVICE void prepare_stage(const Part<THREADS, PARTS>&, Shared arrivals) {
  init_arrivals(arrivals, BULK ? 1 : THREADS);
}

// Rows into a tile, by copy_async of the part's warps, a band each; rows up to the next multiple of 16 become zeros.
template <int CHUNKS, int THREADS>
DEVICE void copy_rows(Shared tile, const unsigned char* from, int64_t pitch, int rows, int me) {
  const BandWalk<CHUNKS> walk;
  const int warp = me / 32;
  from += (BAND * warp + walk.row) * pitch + walk.byte();
#pragma unroll 1
  for (int band = warp; BAND * band < rows; band += THREADS / 32, from += THREADS / 32 * BAND * pitch) {
    const int left = rows - BAND * band - walk.row;
    walk.over(tile + band_place<CHUNKS>(band), [&](Shared to, int down, int byte) {
      copy_async(to, from + down * pitch + byte, down < left);
    });
  }
}

// The same rows of several tiles, which lie `bytes` apart, from columns that lie `columns` apart.
struct Apart {
  Shared bytes;
  int columns;
};

// `row`, `column`: of the first element; columns count elements.
template <int D, int TILES, int THREADS, int PARTS>
DEVICE void start_tiles(const Part<THREADS, PARTS>& part, Shared tile, const Rows& from, int row, int column, int rows,
                        Shared arrivals, Apart apart) {
  constexpr int CHUNKS = D / 8, PANEL = panel_chunks(CHUNKS);
  if (!BULK) {
    const unsigned char* memory = from.memory + row * from.pitch + 2 * column;
#pragma unroll
    for (int i = 0; i < TILES; i++)
      copy_rows<CHUNKS, THREADS>(tile + i * apart.bytes, memory + i * (2 * apart.columns), from.pitch, rows, part.me);
  } else if (elect()) {
#pragma unroll 1
    for (int band = part.warp; BAND * band < rows; band += THREADS / 32)
#pragma unroll
      for (int i = 0; i < TILES; i++)
#pragma unroll
        for (int panel = 0; panel < CHUNKS / PANEL; panel++)
          copy_band<PANEL>(tile + i * apart.bytes + band_place<CHUNKS>(band) + panel_place<CHUNKS>(panel), from,
                           row + BAND * band, column + i * apart.columns + 8 * PANEL * panel, arrivals);
  }
}

template <int D, int THREADS, int PARTS>
DEVICE void start_rows(const Part<THREADS, PARTS>& part, Shared tile, const Rows& from, int row, int column, int rows,
                       Shared arrivals) {
  start_tiles<D, 1>(part, tile, from, row, column, rows, arrivals, {0, 0});
}

// All that the part has started since the last time is what this stage's next phase is made of.
template <int THREADS, int PARTS>
DEVICE void seal_stage(const Part<THREADS, PARTS>& part, Shared arrivals, uint32_t bytes) {
  if (!BULK)
    arrive_copies(arrivals);
  else if (part.leads())
    arrive_expecting(arrivals, bytes);
}

// After the rows have arrived.
template <int D, int THREADS, int PARTS>
DEVICE void end_rows(const Part<THREADS, PARTS>& part, Shared tile, int rows) {
  constexpr int CHUNKS = D / 8, PANEL = panel_chunks(CHUNKS);
  const int last = rows % BAND;
  if (!BULK || last == 0) return;
  const Shared band = tile + band_place<CHUNKS>(rows / BAND);
  for (int i = part.me; i < BAND * CHUNKS; i += THREADS)
    if (i / PANEL % BAND >= last) store_16(band + 16 * i, {{0, 0, 0, 0}});
}

// By a whole warp, which is together again afterwards.
DEVICE void await_together(Shared arrivals, int parity) {
  await(arrivals, parity);
  sync_warp();
}

// By a whole warp: it needs the stage no more. An arrival for each warp, at which waits who fills the stage again.
DEVICE void leave_stage(Shared arrivals) {
  fence_copies();
  sync_warp();  // all lanes have
  if (thread() % 32 == 0) arrive(arrivals);
}

// Before the part's barrier behind which the part reads the number: 4 bytes, free again behind the next barrier.
template <int THREADS, int PARTS>
DEVICE void draw_unit(const Part<THREADS, PARTS>& part, int32_t* counter, Shared slot) {
  if (part.leads()) store_4(slot, draw(counter));
}
