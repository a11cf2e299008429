// Arrivals and copies in bulk on a CPU, by the emulator.
#pragma once

#include "host.h"

#define GIVEN const

// The machine that is emulated: one that copies in bulk, unless told otherwise.
#ifndef EMULATED_SM
#define EMULATED_SM 90
#endif
constexpr bool BULK = EMULATED_SM >= 90;

struct Rows {
  const unsigned char* memory;
  int64_t pitch;  // bytes from row to row
  int32_t count;
  int32_t chunks;
};

// A sanitizer of threads sees the beginning written, and everyone who uses it read it.
inline void look_at_arrivals(Shared place, int line) {
  unsigned char seen[8];
  memcpy(seen, emulator::arrivals_at(place, line), 8);
  emulator::look(seen);
}

inline void init_arrivals(Shared place, int count, HERE) {
  memset(emulator::arrivals_at(place, line), 0, 8);
  emulator::init_arrivals(place, count, line);
}

inline void fence_arrivals() { emulator::fence_arrivals(); }

inline void arrive(Shared place, HERE) {
  look_at_arrivals(place, line);
  emulator::arrive(place, 0, line);
}

inline void arrive_expecting(Shared place, uint32_t bytes, HERE) {
  look_at_arrivals(place, line);
  emulator::arrive(place, bytes, line);
}

inline void arrive_copies(Shared place, HERE) {
  look_at_arrivals(place, line);
  emulator::arrive_copies(place, line);
}

inline void await(Shared place, int parity, HERE) {
  look_at_arrivals(place, line);
  emulator::await(place, parity, line);
}

inline void fence_copies(HERE) { emulator::meet(emulator::FENCE_COPIES, line); }

// Not lane 0, on which nobody should rely.
inline bool elect(HERE) {
  emulator::meet(emulator::ELECT, line);
  return emulator::thread() % 32 == 5;
}

inline void prefetch(const Rows&) {}

template <int CHUNKS>
inline void copy_band(Shared to, const Rows& from, int row, int column, Shared arrivals, HERE) {
  look_at_arrivals(arrivals, line);
  const emulator::Band band = {to, CHUNKS, from.count - row < BAND ? from.count - row : BAND,
                               from.memory + row * from.pitch + 2 * column, from.pitch};
  emulator::check_band(band, from.chunks == CHUNKS && 2 * column + 16 * CHUNKS <= from.pitch, line);
  for (int i = 0; i < band.rows; i++) {
    unsigned char seen[16 * CHUNKS];
    memcpy(seen, band.from + i * band.pitch, sizeof seen);
    emulator::look(seen);
  }
  memset(emulator::target(to, BAND * CHUNKS * 16, line), 0xff, BAND * CHUNKS * 16);
  emulator::start_band(band, arrivals, line);
}

inline int describe(Rows& rows, const void* memory, int32_t count, int64_t columns, int chunks) {
  rows = {static_cast<const unsigned char*>(memory), 2 * columns, count, chunks};
  return 0;
}
