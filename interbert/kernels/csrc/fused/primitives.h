// What a kernel may ask of the machine. Two machines answer: a GPU, and fibers on a CPU that stand for its threads.
//
//   thread(), block(), blocks()      who am I
//   Shared                           a place in the block's shared memory: bytes from its beginning
//   sync_block(), sync_warp()        barriers
//   sync_part(id, threads)           a barrier of some whole warps of the block: id 1 to 15, those of a part the same
//   shuffle_xor(value, mask)         a value from the lane whose number differs by `mask`
//   broadcast(number)                lane 0's
//   elect()                          true for one lane of the warp, whichever, and false for the others
//   draw(counter)                    0, 1, 2, ...: to each that draws in a launch another one, in no order
//   clear_counter(counter, stream)   from the host, before each launch that draws from it
//   load_matrices(words, row)        ldmatrix: four 8 x 8 matrices of 16-bit elements, a row from each lane
//   load_transposed(words, row)      the same, each matrix transposed
//   multiply<T>(sum, a, b0, b1)      mma m16n8k16, sums in fp32
//   copy_async(to, from, real)       16 bytes from global to shared memory, or zeros
//   wait_copies()                    until this thread's copies have arrived
//   load_16(place), load_4(place), store_4(place, word), store_16(place, words)   of shared memory
//   write_16(to, words)              to global memory
//   pack<T>(low, high)               two fp32 numbers as two 16-bit ones in a word
//   unpack<T>(both, word)            and back
//   without_negative<T>(word)        of two 16-bit numbers in a word, 0 for each that is below zero
//   exp2_of(x), log2_of(x), inverse_of(x)
//   signs(word, half)                the signs of bytes 2 half and 2 half + 1, each as 16 bits that are all one or all zero
//   fresh(x)                         x, as a number that the compiler knows nothing about
//   uniform(number)                  lanes agree on it, and the compiler is to know
//   store_transposed(row, words)     stmatrix: as load_transposed, the other way
//   KERNEL(threads, blocks)          a block has so many threads; so many blocks are to fit on a processor at once
//   launch<kernel>(...)              from the host
//
// Arrivals are 8 bytes of shared memory (mbarriers), 16 bytes apart from anything else, at which threads and copies
// arrive, phase after phase. A thread that waits waits for each phase; phase n has the parity n % 2. Lanes come back
// from waiting one by one: before the next operation of a whole warp comes a barrier.
//
//   init_arrivals(place, count)      by one thread: so many arrive in a phase
//   fence_arrivals()                 by the same thread, after all of them; then a barrier of who uses them
//   arrive(place)                    this thread
//   arrive_expecting(place, bytes)   this thread, and so many bytes by copy_band in this phase
//   arrive_copies(place)             this thread, when what it has started by copy_async has arrived
//   await(place, parity)             until the phase is complete; what was written before is there, copies are too
//
// Copies in bulk, where BULK says that the machine makes them. They go past the caches that ordinary reads and writes
// use: between any use of shared memory and a copy that overwrites it come fence_copies(), then a barrier.
//
//   Rows                             rows of global memory, given to kernels as `GIVEN Rows`, by itself or within
//                                    something; made on the host by describe(...) for bands of panels
//   copy_band<CHUNKS>(to, rows, row, column, arrivals)   by one lane, an elected one: 16 rows of a panel of CHUNKS * 8
//                                    elements, from any row on, zeros beyond the last one; where the chunks of a row
//                                    come to lie, tiles.h's place() says
//   Heads                            the same of rows that are queries, keys and values of heads, made on the host by
//                                    describe_heads(...)
//   copy_heads<CHUNKS, PANEL>(to, heads, row, head, arrivals)   by one lane: 8 rows of a head's queries, keys and
//                                    values, CHUNKS * 8 elements each, as octets.h says
//   fence_copies()                   by whole warps, each that used what is going to be overwritten
//   prefetch(rows)                   its description: once, by one thread
//
// Products of four whole warps, the first of them a multiple of four, where WARPGROUPS says so (wgmma). Each of the
// four has 16 of 64 rows, its sums as multiply() has them, for each 8 columns one after the other. Rows are those of
// tiles and panels of whole chunks, multiples of 8 rows, read past the caches, so that between writing them and this
// come fence_copies() and a barrier. They are read, and sums are known, when they have been waited for:
//
//   open_products()                  after any use of sums, before the first product on them
//   multiply_rows<T, N>(sum, rows, left, others, column, adds)
//                                    64 rows, 16 of their columns, 16 * column and following, times the same of N others
//   multiply_columns<T, ACROSS>(sum, panel, column, left, rows, adds)
//                                    16 columns of 64 rows of a panel times 16 rows of 64; ACROSS: 16 rows of the panel,
//                                    transposed. `left`: of the 64, only so many matter, those of whole bands
//   close_products()                 a group of products ends
//   await_products<OPEN>(sum...)     until at most OPEN groups go on; these sums are known then
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

// Rows of a copy in bulk, and of one of heads.
constexpr int BAND = 16, OCTET_ROWS = 8;

#ifdef __CUDACC__
#include "device.h"
#include "device_bulk.h"
#include "device_groups.h"
#else
#include "host.h"
#include "host_bulk.h"
#include "host_groups.h"
#endif
