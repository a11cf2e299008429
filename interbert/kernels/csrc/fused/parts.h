// Parts of a block: some whole warps each, which work on a unit together and wait for nobody else.
#pragma once

#include "primitives.h"

// `number`: which one. Parts of several warps have a barrier each, of the 15 that a block has for them.
template <int THREADS, int PARTS>
struct Part {
  static_assert(THREADS == 32 || PARTS <= 15, "a barrier each");
  int number, me, warp;

  // The warp's number comes by a shuffle, so that the compiler knows that it is one for all lanes.
  DEVICE Part() : number(PARTS == 1 ? 0 : thread() / THREADS), me(PARTS == 1 ? thread() : thread() % THREADS), warp(broadcast(me / 32)) {}

  DEVICE bool leads() const { return me == 0; }

  DEVICE void sync() const {
    if (THREADS == 32) {
      sync_warp();
    } else if (PARTS == 1) {
      sync_block();
    } else {
      // A barrier by a number that the compiler does not know would take all 16 of the block.
#pragma unroll
      for (int i = 0; i < PARTS; i++)
        if (number == i) sync_part(1 + i, THREADS);
    }
  }
};
