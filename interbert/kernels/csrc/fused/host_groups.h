// Products of four warps together on a CPU, by the emulator: each warp does its 16 rows.
//
// Sums are NaN until they are waited for; operands are read when a product is started, or when it is waited for.
#pragma once

#include "host_bulk.h"

struct GroupPanel {
  Shared place;
  int chunks;

  DEVICE GroupPanel down(int bands) const { return {place + bands * (BAND * 16) * chunks, chunks}; }
};

constexpr bool WARPGROUPS = EMULATED_SM == 90;

inline void store_transposed(Shared row, const uint32_t (&words)[4], HERE) {
  uint32_t mine[4];
  emulator::exchange(emulator::STORE_TRANSPOSED, line, words, 4, mine, 4, 0);
  memcpy(emulator::written(row, 16, line), mine, 16);
}

inline void open_products() { emulator::open_products(); }
inline void close_products() { emulator::close_products(); }

// A chunk of 8 elements of a panel whose rows hold `chunks` of them.
inline Shared chunk_place(Shared panel, int chunks, int row, int chunk) {
  return panel + static_cast<Shared>(row * chunks + (chunk ^ (row & 7) / (8 / chunks))) * 16;
}

inline void read_operands(emulator::Product& p) {
  const int lane = thread() % 32, warp = thread() / 32 % 4, far = lane / 2, near = lane % 2;
  const int row = p.turned ? far : 16 * warp + far, chunk = p.turned ? 2 * warp + near : 2 * p.column + near;
  memset(p.words, 0xff, sizeof p.words);
  if (16 * warp < p.rows && (!p.turned || chunk < p.chunks))
    memcpy(p.words, emulator::operand(chunk_place(p.left, p.chunks, row, chunk), p.line), 16);
  for (int i = lane; i < 2 * p.columns; i += 32) {
    const int across = p.by_depth ? p.columns / 8 : 2;
    const int first = p.by_depth ? 0 : 2 * static_cast<int>(p.right_band);
    const Shared from = chunk_place(p.right, 8, i / across, first + i % across);
    memcpy(p.words + 4 + i / 32 * 4, emulator::operand(from, p.line), 16);
  }
  p.read = true;
}

inline void start_product(const emulator::Product& given) {
  emulator::Product& p = *emulator::new_product(given);
  if (p.begins) {
    if (p.adds) memcpy(p.before, p.sum, 2 * p.columns);
    memset(p.sum, 0xff, 2 * p.columns);
  }
  if (emulator::reads_at_once()) read_operands(p);
}

template <int OPEN, class... Sums>
inline void await_products(Sums&...) {
  while (emulator::Product* p = emulator::due_product(OPEN)) {
    if (!p->read) read_operands(*p);
    uint32_t words[128];
    memcpy(words, p->words, sizeof p->words);
    if (p->adds)
      memcpy(words + 44, p->begins ? p->before : p->sum, 2 * p->columns);
    else
      memset(words + 44, 0, 2 * p->columns);
    emulator::exchange(p->operation, p->line, words, 44 + p->columns / 2, words, p->columns / 2,
                       p->columns | p->turned << 8 | p->by_depth << 9);
    memcpy(p->sum, words, 2 * p->columns);
    emulator::take_product();
  }
}

template <class T>
constexpr emulator::Operation product_of() {
  return T::exponent_bits == 5 ? emulator::PRODUCT_FLOAT16 : emulator::PRODUCT_BFLOAT16;
}

template <class T, int COLUMNS>
inline void multiply_rows(float (&sum)[COLUMNS / 2], Shared rows, int left, Shared others, int column, bool adds,
                          HERE) {
  start_product({product_of<T>(), sum, COLUMNS, adds, false, false, rows, others, static_cast<uint32_t>(column), 8,
                 column, left, line});
}

template <class T, bool ACROSS>
inline void multiply_columns(float (&sum)[32], const GroupPanel& panel, int column, int left, Shared rows, bool adds,
                             HERE) {
  start_product({product_of<T>(), sum, 64, adds, ACROSS, true, panel.place, rows, 0, panel.chunks, column, left, line});
}
