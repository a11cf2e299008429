// The primitives on a CPU, by the emulator. The line of each call travels along: all lanes must meet at the same one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulator.h"

#define KERNEL(threads, blocks) static void

// The machine that is emulated: one that copies in bulk, unless told otherwise.
#ifndef EMULATED_SM
#define EMULATED_SM 90
#endif
constexpr bool COUNTED_OUT = EMULATED_SM == 90;

#define DEVICE inline __attribute__((always_inline))
#define ANYWHERE constexpr
#define HERE int line = __builtin_LINE()

using emulator::block;
using emulator::blocks;
using emulator::thread;

inline void sync_block(HERE) { emulator::meet(emulator::SYNC_BLOCK, line); }
inline void sync_warp(HERE) { emulator::meet(emulator::SYNC_WARP, line); }

inline void sync_part(int id, int threads, HERE) { emulator::meet_part(id, threads, line); }

inline int broadcast(int number, int lane = 0, HERE) {
  uint32_t word = static_cast<uint32_t>(number);
  emulator::exchange(emulator::BROADCAST, line, &word, 1, &word, 1, lane);
  return static_cast<int>(word);
}

inline int uniform(int number, HERE) { return broadcast(number, 0, line); }

inline int draw(int32_t* counter, HERE) { return emulator::draw_unit(counter, line); }

inline int clear_counter(int32_t* counter, void*) { return *counter = 0; }

inline float shuffle_xor(float value, int mask, HERE) {
  uint32_t word;
  memcpy(&word, &value, 4);
  emulator::exchange(emulator::SHUFFLE, line, &word, 1, &word, 1, mask);
  memcpy(&value, &word, 4);
  return value;
}

// Each lane reads the row whose place it gives, so that a sanitizer sees who reads what.
inline void load_rows(uint32_t (&words)[4], Shared row, emulator::Operation operation, int line) {
  uint32_t mine[4];
  memcpy(mine, emulator::shared(row, 16, line), 16);
  emulator::exchange(operation, line, mine, 4, words, 4, 0);
}

inline void load_matrices(uint32_t (&words)[4], Shared row, HERE) { load_rows(words, row, emulator::LOAD, line); }

inline void load_transposed(uint32_t (&words)[4], Shared row, HERE) {
  load_rows(words, row, emulator::LOAD_TRANSPOSED, line);
}

template <class T>
inline void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, HERE) {
  uint32_t words[10] = {a[0], a[1], a[2], a[3], b0, b1};
  memcpy(words + 6, sum, 16);
  const auto operation = T::exponent_bits == 5 ? emulator::MULTIPLY_FLOAT16 : emulator::MULTIPLY_BFLOAT16;
  emulator::exchange(operation, line, words, 10, words + 6, 4, 0);
  memcpy(sum, words + 6, 16);
}

inline void copy_async(Shared to, const void* from, bool real, HERE) {
  emulator::check_aligned(from, line);
  memset(emulator::shared(to, 16, line), 0xff, 16);
  emulator::start_copy({to, from, real}, line);
}

inline void wait_copies(HERE) {
  for (emulator::Copy copy; emulator::next_copy(&copy);) {
    unsigned char* to = emulator::written(copy.to, 16, line);
    if (copy.real)
      memcpy(to, copy.from, 16);
    else
      memset(to, 0, 16);
  }
}

inline Words4 load_16(Shared from, HERE) {
  Words4 words;
  memcpy(&words, emulator::shared(from, 16, line), 16);
  return words;
}

inline uint32_t load_4(Shared from, HERE) {
  uint32_t word;
  memcpy(&word, emulator::shared(from, 4, line), 4);
  return word;
}

inline void store_4(Shared to, uint32_t word, HERE) { memcpy(emulator::written(to, 4, line), &word, 4); }

inline void store_16(Shared to, Words4 words, HERE) { memcpy(emulator::written(to, 16, line), &words, 16); }

inline void write_16(void* to, Words4 words, HERE) {
  emulator::check_aligned(to, line);
  memcpy(to, &words, 16);
}

inline uint16_t bits_of(BFloat16, float x) {
  uint32_t word;
  memcpy(&word, &x, 4);
  if ((word & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((word + 0x7fffu + (word >> 16 & 1)) >> 16);
}

inline uint16_t bits_of(Float16, float x) {
  const _Float16 half = static_cast<_Float16>(x);
  uint16_t bits;
  memcpy(&bits, &half, 2);
  return bits;
}

inline float value_of(BFloat16, uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float x;
  memcpy(&x, &word, 4);
  return x;
}

inline float value_of(Float16, uint16_t bits) {
  _Float16 half;
  memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

template <class T>
inline uint32_t pack(float low, float high) {
  return bits_of(T{}, low) | static_cast<uint32_t>(bits_of(T{}, high)) << 16;
}

template <class T>
inline void unpack(float (&both)[2], uint32_t word) {
  both[0] = value_of(T{}, static_cast<uint16_t>(word)), both[1] = value_of(T{}, static_cast<uint16_t>(word >> 16));
}

template <class T>
inline uint32_t without_negative(uint32_t word) {
  float both[2];
  unpack<T>(both, word);
  return pack<T>(both[0] < 0 ? 0 : both[0], both[1] < 0 ? 0 : both[1]);
}

inline uint32_t signs(uint32_t word, int half) {
  const uint32_t both = word >> 16 * half;
  return (both & 0x80 ? 0xffffu : 0) | (both & 0x8000 ? 0xffff0000u : 0);
}

inline float exp2_of(float x) { return exp2f(x); }
inline float log2_of(float x) { return log2f(x); }
inline float inverse_of(float x) { return 1 / x; }
inline uint32_t fresh(uint32_t x) { return x; }

// Three blocks at most, so that each has several items to work on.
template <auto kernel, class Problem>
int launch(const Problem& problem, int most, int threads, int shared, void*) {
  const auto body = [](const void* given) { kernel(*static_cast<const Problem*>(given)); };
  emulator::run(body, &problem, most < 1 ? 1 : most < 3 ? most : 3, threads, shared);
  return 0;
}

inline const char* error_text(int) { return "no error is known on a CPU"; }
