// Rows of 16-bit elements in global memory, in chunks of 8 (16 bytes), and what all operations on rows are made of.
#pragma once

#include "philox.h"

constexpr int LANES = 32, EACH = 8;

DEVICE int lane() { return thread() % LANES; }
DEVICE int warp() { return thread() / LANES; }

DEVICE Words4 read_16(const void* from) { return *static_cast<const Words4*>(from); }

template <class T>
DEVICE void unpack_8(float (&x)[EACH], Words4 words) {
#pragma unroll
  for (int j = 0; j < EACH / 2; j++) {
    float both[2];
    unpack<T>(both, words.word[j]);
    x[2 * j] = both[0], x[2 * j + 1] = both[1];
  }
}

template <class T>
DEVICE Words4 pack_8(const float (&x)[EACH]) {
  Words4 words;
#pragma unroll
  for (int j = 0; j < EACH / 2; j++) words.word[j] = pack<T>(x[2 * j], x[2 * j + 1]);
  return words;
}

template <class T>
DEVICE void read_8(float (&x)[EACH], const unsigned char* row, int chunk) {
  unpack_8<T>(x, read_16(row + 16 * chunk));
}

template <class T>
DEVICE float read_1(const unsigned char* row, int column) {
  float both[2];
  unpack<T>(both, reinterpret_cast<const uint16_t*>(row)[column]);
  return both[0];
}

template <class T>
DEVICE void write_1(unsigned char* row, int column, float x) {
  reinterpret_cast<uint16_t*>(row)[column] = static_cast<uint16_t>(pack<T>(x, 0));
}

// Parameters may begin at any even address: they lie in one buffer with others.
template <class T>
DEVICE void read_parameters(float (&x)[EACH], const unsigned char* all, int chunk) {
  if (reinterpret_cast<uintptr_t>(all) % 16 == 0) return read_8<T>(x, all, chunk);
#pragma unroll
  for (int i = 0; i < EACH; i++) x[i] = read_1<T>(all, EACH * chunk + i);
}

DEVICE float warp_sum(float x) {
#pragma unroll
  for (int mask = LANES / 2; mask; mask /= 2) x += shuffle_xor(x, mask);
  return x;
}

// fp32 numbers of the block in shared memory, by their number.
DEVICE void store_float(int number, float x) { store_4(4 * number, __builtin_bit_cast(uint32_t, x)); }
DEVICE float load_float(int number) { return __builtin_bit_cast(float, load_4(4 * number)); }

// Which elements of a row are dropped: a byte of Philox for each. A draw serves a lane's chunks 2 k and 2 k + 1, which
// lie 32 chunks apart. `stream` tells several uses of one seed apart, and the highest bit all of them from attention's.
struct RowDropout {
  const int64_t* rng;
  uint32_t threshold, stream;

  // Of this lane's chunk number k what is kept, rescaled. `drawn` is made anew at even k.
  DEVICE void drop(float (&x)[EACH], Drawn& drawn, int row, int k) const {
    if (!threshold) return;
    const float rescale = 256.f / (256 - threshold);
    if (k % 2 == 0) drawn = philox(rng[0], rng[1], row, 0x80000000u | stream << 16 | (k / 2 * LANES + lane()));
#pragma unroll
    for (int i = 0; i < EACH; i++)
      x[i] = (drawn.word[k % 2 * 2 + i / 4] >> (8 * (i % 4)) & 0xff) < threshold ? 0 : x[i] * rescale;
  }
};

// Adds up what `slices` have left of each column, in fixed order: [slices, columns] fp32 to [columns] of 16 bits.
struct Columns {
  const float* parts;
  unsigned char* sums;
  const int32_t* slices;
  int32_t columns, bfloat16;
};

constexpr int FINISH_COLUMNS = 32, FINISH_WARPS = 8, FINISH_THREADS = 256;

template <class T>
KERNEL(FINISH_THREADS, 1) finish_columns(Columns p) {
  for (int first = block() * FINISH_COLUMNS; first < p.columns; first += blocks() * FINISH_COLUMNS) {
    const int column = first + lane();
    float sum = 0;
    if (column < p.columns)
      for (int slice = warp(); slice < *p.slices; slice += FINISH_WARPS)
        sum += p.parts[static_cast<int64_t>(slice) * p.columns + column];
    store_float(thread(), sum);
    sync_block();  // all slices' sums are there
    if (warp() == 0 && column < p.columns) {
      for (int other = 1; other < FINISH_WARPS; other++) sum += load_float(other * LANES + lane());
      write_1<T>(p.sums, column, sum);
    }
    sync_block();  // they have been read
  }
}
