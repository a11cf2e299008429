// Which probabilities are dropped: a byte of Philox for each, by unit, row and column.
//
// One draw serves the 16 elements that a thread holds of 16 rows x 32 columns of scores: word j is the fragment of
// columns 8 j, its bytes are the fragment's four elements in their order.
#pragma once

#include "philox.h"
#include "problem.h"

struct Dropout {
  const int64_t* rng;  // read again for each draw: registers are dearer
  uint32_t threshold;

  DEVICE explicit Dropout(const Problem& p) : rng(p.rng), threshold(p.threshold) {}

  DEVICE float rescale() const { return 256.f / (256 - threshold); }

  // For rows 16 * tile and following, columns 32 * band and following.
  DEVICE Drawn draw(int unit, int tile, int band) const {
    return philox(rng[0], rng[1], unit, (band << 16) | (tile << 5) | (thread() % 32));
  }

  DEVICE bool keeps(uint32_t word, int element) const { return (word >> (8 * element) & 0xff) >= threshold; }
};
