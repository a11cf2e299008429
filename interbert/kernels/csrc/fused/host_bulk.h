// Arrivals and copies in bulk on a CPU, by the emulator.
#pragma once

#include "host.h"

#define GIVEN const

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

// `described_so`: whether rows are what the host has described.
inline void copy_panel(const emulator::Band& band, Shared arrivals, bool described_so, int line) {
  emulator::check_band(band, described_so, line);
  const uint32_t row = 16 * band.chunks;
  for (int i = 0; i < band.rows; i++) {
    unsigned char seen[16 * 8];
    memcpy(seen, band.from + i * band.pitch, row);
    emulator::look(seen);
  }
  memset(emulator::target(band.to, band.height * row, line), 0xff, band.height * row);
  emulator::start_band(band, arrivals, line);
}

template <int CHUNKS>
inline void copy_band(Shared to, const Rows& from, int row, int column, Shared arrivals, HERE) {
  look_at_arrivals(arrivals, line);
  copy_panel({to, BAND, CHUNKS, from.count - row < BAND ? from.count - row : BAND,
              from.memory + row * from.pitch + 2 * column, from.pitch},
             arrivals, from.chunks == CHUNKS && 2 * column + 16 * CHUNKS <= from.pitch, line);
}

inline int describe(Rows& rows, const void* memory, int32_t count, int64_t columns, int chunks) {
  rows = {static_cast<const unsigned char*>(memory), 2 * columns, count, chunks};
  return 0;
}

struct Heads : Rows {
  int32_t heads, panel;
};

template <int CHUNKS, int PANEL>
inline void copy_heads(Shared to, const Heads& from, int row, int head, Shared arrivals, HERE) {
  look_at_arrivals(arrivals, line);
  const int there = from.count - row < OCTET_ROWS ? from.count - row : OCTET_ROWS;
  for (int part = 0; part < 3; part++)
    for (int panel = 0; panel < CHUNKS / PANEL; panel++, to += OCTET_ROWS * PANEL * 16)
      copy_panel({to, OCTET_ROWS, PANEL, there,
                  from.memory + row * from.pitch + part * (from.pitch / 3) + 16 * (head * CHUNKS + panel * PANEL),
                  from.pitch},
                 arrivals, from.chunks == CHUNKS && from.panel == PANEL && head >= 0 && head < from.heads, line);
}

inline int describe_heads(Heads& rows, const void* memory, int32_t count, int heads, int chunks, int panel) {
  rows = {{static_cast<const unsigned char*>(memory), int64_t{48} * heads * chunks, count, chunks}, heads, panel};
  return 0;
}
