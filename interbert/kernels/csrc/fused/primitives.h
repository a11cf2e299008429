// What a kernel may ask of the machine. Two machines answer: a GPU, and fibers on a CPU that stand for its threads.
//
//   thread(), block(), blocks()      who am I
//   Shared                           a place in the block's shared memory: bytes from its beginning
//   sync_block(), sync_warp()        barriers
//   shuffle_xor(value, mask)         a value from the lane whose number differs by `mask`
//   load_matrices(words, row)        ldmatrix: four 8 x 8 matrices of 16-bit elements, a row from each lane
//   load_transposed(words, row)      the same, each matrix transposed
//   multiply<T>(sum, a, b0, b1)      mma m16n8k16, sums in fp32
//   copy_async(to, from, real)       16 bytes from global to shared memory, or zeros
//   wait_copies()                    until this thread's copies have arrived
//   load_16(place), load_4(place), store_4(place, word)   of shared memory
//   write_16(to, words)              to global memory
//   pack<T>(low, high)               two fp32 numbers as two 16-bit ones in a word
//   unpack<T>(both, word)            and back
//   exp2_of(x), log2_of(x), inverse_of(x)
//   fresh(x)                         x, as a number that the compiler knows nothing about
//   launch<kernel>(...)              from the host
#pragma once

#include <cstdint>

struct Float16 {
  static constexpr int exponent_bits = 5;
};

struct BFloat16 {
  static constexpr int exponent_bits = 8;
};

using Shared = uint32_t;

struct alignas(16) Words4 {
  uint32_t word[4];
};

#ifdef __CUDACC__
#include "device.h"
#else
#include "host.h"
#endif
