// Which probabilities are dropped: a byte of Philox for each, by unit, row and column.
//
// One draw serves the 16 elements that a thread holds of 16 rows x 32 columns of scores: word j is the fragment of
// columns 8 j, its bytes are the fragment's four elements in their order.
#pragma once

#include "philox.h"
#include "problem.h"

// What is one for all threads is kept in registers that a warp has once, and a word's four bytes are compared at once.
// The threshold is not 0.
struct Dropout {
  uint64_t seed, offset;
  uint32_t rest;  // in each byte 256 - threshold: a byte is kept where adding this carries

  DEVICE explicit Dropout(const Problem& p) : seed(0), offset(0), rest((256 - p.threshold) * 0x01010101u) {
    if (p.threshold) seed = uniform(p.rng[0]), offset = uniform(p.rng[1]);
  }

  // For rows 16 * tile and following, columns 32 * band and following.
  DEVICE Drawn draw(int unit, int tile, int band) const {
    return philox(seed, offset, unit, (band << 16) | (tile << 5) | (thread() % 32));
  }

  // Ones in the halves of each word that are kept: of elements 0 and 1, and 2 and 3.
  DEVICE void kept(uint32_t (&halves)[2], uint32_t word) const { kept(halves, word, rest); }

  static DEVICE void kept(uint32_t (&halves)[2], uint32_t word, uint32_t rest) {
    const uint32_t low = (word & 0x7f7f7f7fu) + (rest & 0x7f7f7f7fu);
    const uint32_t carries = (word & rest) | ((word | rest) & low);  // their highest bits
    halves[0] = signs(carries, 0), halves[1] = signs(carries, 1);
  }

 private:
  static DEVICE uint64_t uniform(uint64_t x) {
    const uint32_t low = broadcast(static_cast<uint32_t>(x)), high = broadcast(static_cast<uint32_t>(x >> 32));
    return static_cast<uint64_t>(high) << 32 | low;
  }
};

// The draws of one unit: what is known of it, from UnitPhilox.
struct UnitDropout {
  uint32_t rest;
  UnitPhilox philox;

  DEVICE UnitDropout(const Dropout& of, const Words4& known) : rest(of.rest), philox(of.seed, of.offset, known) {}

  DEVICE Drawn draw(int tile, int band) const { return philox.draw((band << 16) | (tile << 5) | (thread() % 32)); }

  DEVICE void kept(uint32_t (&halves)[2], uint32_t word) const { Dropout::kept(halves, word, rest); }
};
