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

// The same for one unit: what of the first rounds depends on no place is computed once.
struct UnitPhilox {
  static constexpr uint32_t FIRST = 0xD2511F53u, SECOND = 0xCD9E8D57u;
  static constexpr uint32_t KEY_0 = 0x9E3779B9u, KEY_1 = 0xBB67AE85u;
  uint32_t key[2];
  uint32_t of_place, of_1, of_2[2], of_3;  // what meets what depends on the place: by rounds, from 0 on

  static DEVICE uint32_t high(uint32_t a, uint32_t b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }

  DEVICE UnitPhilox(uint64_t seed, uint64_t offset, uint32_t unit)
      : key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {
    const uint32_t low = static_cast<uint32_t>(offset);
    of_place = high(SECOND, low) ^ key[0];
    const uint32_t c2 = high(FIRST, unit) ^ static_cast<uint32_t>(offset >> 32) ^ key[1];
    of_1 = FIRST * unit ^ (key[1] + KEY_1);
    const uint32_t c0 = high(SECOND, c2) ^ SECOND * low ^ (key[0] + KEY_0);
    of_2[0] = SECOND * c2 ^ (key[0] + 2 * KEY_0);
    of_2[1] = high(FIRST, c0) ^ (key[1] + 2 * KEY_1);
    of_3 = FIRST * c0 ^ (key[1] + 3 * KEY_1);
  }

  DEVICE UnitPhilox(uint64_t seed, uint64_t offset, const Words4& known)
      : key{fresh(static_cast<uint32_t>(seed)), fresh(static_cast<uint32_t>(seed >> 32))},
        of_place(high(SECOND, static_cast<uint32_t>(offset)) ^ key[0]),
        of_1(known.word[0]),
        of_2{known.word[1], known.word[2]},
        of_3(known.word[3]) {}

  DEVICE Drawn draw(uint32_t place) const {
    const uint64_t first = uint64_t{FIRST} * (of_place ^ place);
    const uint64_t second = uint64_t{SECOND} * (static_cast<uint32_t>(first >> 32) ^ of_1);
    uint32_t c[4] = {static_cast<uint32_t>(second >> 32) ^ of_2[0], static_cast<uint32_t>(second),
                     static_cast<uint32_t>(first) ^ of_2[1], 0};
#pragma unroll
    for (int round = 3; round < 7; round++) {
      const uint64_t one = uint64_t{FIRST} * c[0], other = uint64_t{SECOND} * c[2];
      const uint32_t rest = round == 3 ? of_3 : c[3] ^ (key[1] + round * KEY_1);
      c[0] = static_cast<uint32_t>(other >> 32) ^ c[1] ^ (key[0] + round * KEY_0);
      c[1] = static_cast<uint32_t>(other);
      c[2] = static_cast<uint32_t>(one >> 32) ^ rest;
      c[3] = static_cast<uint32_t>(one);
    }
    return {{c[0], c[1], c[2], c[3]}};
  }
};
