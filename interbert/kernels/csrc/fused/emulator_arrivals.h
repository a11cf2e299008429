// Arrivals and what arrives at them: copies that are under way, phases, and who has touched shared memory since when.
//
// A part of emulator.cpp, which alone knows the fibers: it says what happens, and wakes those that wait.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "emulator.h"

namespace emulator {

constexpr uint32_t GRANULE = 16;

// 16 bytes that a copy moves; from nowhere: zeros.
struct Piece {
  uint32_t to;
  const unsigned char* from;
};

struct Flight {
  uint32_t arrivals;
  bool bulk;  // bytes arrive; otherwise a thread does
  std::vector<Piece> pieces;
};

struct Arrivals {
  int count = 0, pending = 0;
  int64_t bytes = 0;  // expected and not yet here; less than 0 where they come before they are expected
  int phase = 0, flights = 0;
  int made_by = 0;
  bool fenced = false;
  char turns[2];  // addresses for the sanitizer's happens-before, by parity
};

// Of one block. What goes wrong is a text; null when all is well.
class Traffic {
 public:
  std::map<uint32_t, Arrivals> arrivals;
  std::vector<Flight> flights;

  void begin(unsigned char* memory, uint32_t bytes, int warp_count) {
    shared = memory, warps = warp_count;
    arrivals.clear(), flights.clear();
    const size_t granules = (bytes + GRANULE - 1) / GRANULE;
    kinds.assign(granules, ORDINARY);
    touched.assign(granules * warps, 0);
    written.assign(granules * warps, 0);
    fences.assign(warps, 0);
  }

  void fenced(int warp) { fences[warp]++; }

  // An ordinary read or write.
  const char* touch(uint32_t place, int warp) {
    const uint32_t granule = place / GRANULE;
    touched[granule * warps + warp] = fences[warp] + 1;
    return kinds[granule] == ORDINARY ? nullptr
           : kinds[granule] == UNDER_WAY
               ? "shared memory is used while a copy to it is under way: it was not waited for"
               : "arrivals share their 16 bytes with something else";
  }

  void write(uint32_t place, int warp) { written[place / GRANULE * warps + warp] = fences[warp] + 1; }

  // The matrix unit's own reading goes past the caches as well.
  const char* read_operand(uint32_t place) const {
    const uint32_t granule = place / GRANULE;
    if (kinds[granule] != ORDINARY) return "the matrix unit reads what is still to arrive, or arrivals";
    for (int warp = 0; warp < warps; warp++)
      if (written[granule * warps + warp] > fences[warp])
        return "the matrix unit reads what was written and not fenced since (fence_copies)";
    return nullptr;
  }

  // Before a copy in bulk starts to overwrite this.
  const char* overwrite(uint32_t place, uint32_t bytes) const {
    for (uint32_t granule = place / GRANULE; granule < (place + bytes) / GRANULE; granule++) {
      if (kinds[granule] != ORDINARY) return "a copy to where another is under way, or over arrivals";
      for (int warp = 0; warp < warps; warp++)
        if (touched[granule * warps + warp] > fences[warp])
          return "a copy in bulk over what a warp used and has not fenced since (fence_copies)";
    }
    return nullptr;
  }

  const char* init(uint32_t place, int count, int thread) {
    if (arrivals.count(place)) return "arrivals are made twice";
    if (count < 1) return "arrivals of nobody";
    kinds[place / GRANULE] = ARRIVALS;
    Arrivals& made = arrivals[place];
    made.count = made.pending = count, made.made_by = thread;
    return nullptr;
  }

  void fence_arrivals(int thread) {
    for (auto& one : arrivals)
      if (one.second.made_by == thread) one.second.fenced = true;
  }

  const char* find(uint32_t place, Arrivals** found) {
    const auto there = arrivals.find(place);
    if (there == arrivals.end()) return "no arrivals were made here";
    if (!there->second.fenced) return "arrivals are used that were not fenced (fence_arrivals) when made";
    *found = &there->second;
    return nullptr;
  }

  void start(Flight flight) {
    for (const Piece& piece : flight.pieces) kinds[piece.to / GRANULE] = UNDER_WAY;
    arrivals[flight.arrivals].flights++;
    flights.push_back(std::move(flight));
  }

  // Brings a copy to its end; `place`: where it arrived.
  const char* land(size_t number, uint32_t* place, bool* complete) {
    const Flight flight = std::move(flights[number]);
    flights.erase(flights.begin() + static_cast<long>(number));
    for (const Piece& piece : flight.pieces) {
      kinds[piece.to / GRANULE] = ORDINARY;
      if (piece.from)
        memcpy(shared + piece.to, piece.from, GRANULE);
      else
        memset(shared + piece.to, 0, GRANULE);
    }
    Arrivals& at = arrivals[*place = flight.arrivals];
    at.flights--;
    if (flight.bulk)
      at.bytes -= GRANULE * static_cast<int64_t>(flight.pieces.size());
    else
      at.pending--;
    return settle(at, complete);
  }

  // After anything arrived.
  static const char* settle(Arrivals& at, bool* complete) {
    *complete = false;
    if (at.pending < 0) return "more have arrived than a phase takes";
    if (at.pending) return nullptr;
    if (at.bytes < 0) return "more bytes have arrived than were expected";
    if (at.bytes) return nullptr;
    if (at.flights) return "a phase is complete while a copy is under way to it: too few bytes were expected";
    at.pending = at.count;
    at.phase++;
    *complete = true;
    return nullptr;
  }

  // At the end of the block.
  const char* rest() const {
    if (!flights.empty()) return "a copy was started and never waited for";
    for (const auto& one : arrivals)
      if (one.second.pending != one.second.count || one.second.bytes) return "a phase was begun and is not complete";
    return nullptr;
  }

 private:
  enum Kind : unsigned char { ORDINARY, UNDER_WAY, ARRIVALS };
  unsigned char* shared = nullptr;
  int warps = 0;
  std::vector<unsigned char> kinds;
  std::vector<uint16_t> written;  // as touched, by ordinary writes
  std::vector<uint16_t> touched;  // by granule and warp: how many fences the warp had passed, and one
  std::vector<uint16_t> fences;
};

// Where the hardware puts a band's chunks: bits 4 and up of an address are exchanged by bits 7 and up.
inline std::vector<Piece> pieces_of(const Band& band) {
  std::vector<Piece> pieces;
  for (int row = 0; row < band.height; row++)
    for (int chunk = 0; chunk < band.chunks; chunk++) {
      uint32_t to = band.to + static_cast<uint32_t>(row * band.chunks + chunk) * GRANULE;
      to ^= (to >> 7 & static_cast<uint32_t>(band.chunks - 1)) << 4;
      pieces.push_back({to, row < band.rows ? band.from + row * band.pitch + chunk * GRANULE : nullptr});
    }
  return pieces;
}

// Numbers of units, dealt out to blocks that run one after another as if they ran at once: a number that this block
// does not get, a later one will.
class Deal {
 public:
  enum Manner { FIRST_TAKES_ALL, AT_RANDOM, IN_TURN };

  void begin() { left.clear(), later.clear(), next = drawn = 0; }

  void begin_block(int number, int of) {
    left.insert(left.end(), later.begin(), later.end());
    std::sort(left.begin(), left.end());
    later.clear();
    behind = of - 1 - number;
    skip = 0;
  }

  int draw(Manner manner, uint32_t (*random)()) {
    for (;;) {
      int number = next;
      if (left.empty())
        next++;
      else
        number = left.front(), left.erase(left.begin());
      const bool mine = manner == FIRST_TAKES_ALL || behind == 0 || (manner == AT_RANDOM && random() % 2) ||
                        (manner == IN_TURN && skip == 0);
      skip = skip ? skip - 1 : behind;
      if (mine) return drawn++, number;
      later.push_back(number);
    }
  }

  int drawn = 0;

 private:
  std::vector<int> left, later;
  int next = 0, behind = 0, skip = 0;
};

}  // namespace emulator
