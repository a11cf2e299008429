// Philox4x32 with seven rounds: random numbers that are a function of where they are used.
#pragma once

#include "primitives.h"

struct Drawn {
  uint32_t word[4];
};

DEVICE Drawn philox(uint64_t seed, uint64_t offset, uint32_t unit, uint32_t place) {
  uint32_t c[4] = {unit, place, static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32)};
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
#pragma unroll
  for (int round = 0; round < 7; round++) {
    const uint64_t first = 0xD2511F53ull * c[0], second = 0xCD9E8D57ull * c[2];
    const uint32_t mixed = static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0];
    c[2] = static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1];
    c[0] = mixed;
    c[1] = static_cast<uint32_t>(second);
    c[3] = static_cast<uint32_t>(first);
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return {{c[0], c[1], c[2], c[3]}};
}
