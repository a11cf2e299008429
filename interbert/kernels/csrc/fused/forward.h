// Attention forward: a warp takes 16 queries at a time of a (sequence, head), and goes over its keys 64 at a
// time, or 32.
//
// The last warp of a block brings units, each to where the ring has room for it, for as long as it is needed. The
// others take their bands of 16 queries in turn, as if those of all units were one long row. Nobody waits for a whole
// block.
#pragma once

#include "dropout.h"
#include "octets.h"
#include "problem.h"

// Shared memory that a block may have, in KB.
#ifndef ROOM_KB
#define ROOM_KB 99
#endif

// A call with sequences of up to KEYS tokens.
template <int D, int KEYS>
struct ForwardShape {
  // Blocks on a processor of sm_90; warps that work, of 128 registers a thread, or of 255.
  static constexpr int BLOCKS = D > 64 || KEYS > 64 ? 1 : 2, WARPS = D > 64 || BLOCKS == 2 ? 7 : 15;
  static constexpr int THREADS = (WARPS + 1) * 32;
  static constexpr int SLOTS = BLOCKS == 2 ? 16 : 8;  // for as many units at once
  static constexpr int NOTE = 64, FULL = 16, FREE = 32, DRAWS = 48;  // item, arrivals, of who left, for dropout
  static constexpr int RING = (((ROOM_KB + 1) / BLOCKS - 1) * 1024 - SLOTS * NOTE) / 1024 * 1024;
  static constexpr int SHARED = RING + SLOTS * NOTE;
};

struct GivenForward {
  Problem problem;
  Heads qkv;
};

template <class T, int D, int KEYS>
struct Forward {
  using Shape = ForwardShape<D, KEYS>;
  using O = Octets<D>;
  static constexpr int CHUNKS = O::CHUNKS, HEAD = D * BYTES;
  static constexpr int STEP = COUNTED_OUT ? 4 : 2;  // bands of keys at a time
  static constexpr int END = -1;    // as a length: no more units
  static constexpr int UNIT = 512;  // places in the ring are multiples
  using Part = ::Part<32, Shape::WARPS + 1>;

  static_assert(Shape::RING >= (KEYS + BAND - 1) / BAND * O::BAND_BYTES, "a unit has room");

  static DEVICE Shared note(int slot) { return Shape::RING + slot * Shape::NOTE; }

  // ---- who brings ---------------------------------------------------------------------------------------------

  // A lane's unit of the next 32 of this block; length 0: none.
  struct Look {
    Item item;
    int head;

    DEVICE Look() : item{0, 0, 0}, head(0) {}

    // Of lanes that have none, the last one is read.
    DEVICE Look(const Problem& p, int64_t number) : item{0, 0, 0}, head(0) {
      const int units = p.sequences * p.heads, at = number < units ? number : units - 1;
      if (units == 0) return;
      item.unit = p.order ? p.order[at] : at;
      const int sequence = item.unit / p.heads;
      head = item.unit - sequence * p.heads;
      item.start = p.offsets[sequence];
      item.length = number < units ? p.offsets[sequence + 1] - item.start : 0;
    }
  };

  // Where the next unit comes to lie: behind the last one, or at the beginning if there is no room up to the end.
  struct Ring {
    int place = 0, live = 0;                       // `live` bytes from the oldest unit's first to here
    int slot = 0, used = 0, oldest = 0, turn = 0;  // slots in use, from the oldest on; its parity
    int mine = 0;                                  // bytes of the slot with this lane's number

    // The place of so many bytes; waits for who left the oldest ones.
    DEVICE int take(int bytes) {
      int taken = (place + bytes > Shape::RING ? Shape::RING - place : 0) + bytes;
      while (used == Shape::SLOTS || live + taken > Shape::RING) {
        await_together(note(oldest) + Shape::FREE, turn);
        live -= broadcast(mine, oldest), used--;
        if (++oldest == Shape::SLOTS) oldest = 0, turn ^= 1;
        if (used == 0) place = 0, taken = bytes;  // from the beginning again, as all of it is free
      }
      if (thread() % 32 == slot) mine = taken;
      if (place + bytes > Shape::RING) place = 0;
      place += bytes, live += taken, used++;
      return place - bytes;
    }

    DEVICE void go_on() {
      if (++slot == Shape::SLOTS) slot = 0;
    }
  };

  static DEVICE void bring(const GivenForward& given, const Part& part, Look look) {
    const Problem& p = given.problem;
    const Dropout dropout(p);
    const int units = p.sequences * p.heads;
    int first = 0;  // the warp that has the next unit's first band
    Ring ring;
    for (int64_t number = block(); number < units; number += 32 * blocks()) {
      const UnitPhilox philox(dropout.seed, dropout.offset, look.item.unit);
      for (int i = 0; i < 32; i++) {
        Item item = {0, broadcast(look.item.start, i), broadcast(look.item.length, i)};
        if (item.length == 0) continue;
        if (item.length > KEYS) {
          item.unit = broadcast(look.item.unit, i);
          spoil_beyond<KEYS>(p, item, HEAD, 1, part.me, 32);
          item.length = KEYS;
        }
        const int bands = (item.length + BAND - 1) / BAND, place = ring.take(bands * O::BAND_BYTES);
        const Shared at = note(ring.slot);
        if (part.me == i) {
          store_16(at, {{static_cast<uint32_t>(look.item.unit), static_cast<uint32_t>(item.start),
                         static_cast<uint32_t>(item.length),
                         static_cast<uint32_t>(look.head << 16 | place / UNIT << 4 | first)}});
          store_16(at + Shape::DRAWS, {{philox.of_1, philox.of_2[0], philox.of_2[1], philox.of_3}});
        }
        fill(given, ring, item, broadcast(look.head, i), place, part.me == i);
        first += bands;
        while (first >= Shape::WARPS) first -= Shape::WARPS;
      }
      look = {p, number + (32 + part.me) * static_cast<int64_t>(blocks())};
    }
    ring.take(0);
    if (part.leads()) store_16(note(ring.slot), {{0, 0, static_cast<uint32_t>(END), 0}});
    fill(given, ring, {0, 0, 0}, 0, 0, part.leads());
  }

  // `writes`: who wrote the slot's note.
  static DEVICE void fill(const GivenForward& given, Ring& ring, const Item& item, int head, int place, bool writes) {
    const Shared full = note(ring.slot) + Shape::FULL;
    // Bytes may be expected before they are on their way; copies of threads must be before their threads arrive.
    if (writes) {
      if (BULK)
        arrive_expecting(full, (item.length + O::ROWS - 1) / O::ROWS * O::OCTET);
      else
        arrive(full);
    }
    start_octets<D>(place, given.qkv, item.start, head, item.length, full);
    if (!BULK) arrive_copies(full);
    ring.go_on();
  }

  // ---- who works ----------------------------------------------------------------------------------------------

  // What a slot's note says.
  struct Told {
    int start, length, head, first;
    Shared unit;  // its place in the ring

    DEVICE explicit Told(Shared note) {
      const Words4 told = load_16(note);
      start = told.word[1], length = told.word[2], head = told.word[3] >> 16, first = told.word[3] & 0xf;
      unit = (told.word[3] >> 4 & 0xfff) * UNIT;
    }
  };

  // What a warp has of its 16 queries: all that was seen of keys so far, by rows `upper_row()` and 8 below.
  struct Sums {
    float o[CHUNKS][4], top[2], sum[2];
  };

  // Scores with COUNT bands of keys, from the one at `keys` on.
  template <int COUNT>
  static DEVICE void score(float (&s)[2 * COUNT][4], Shared queries, Shared keys) {
    const Shared first = fresh(keys + O::beside());
    clear(s);
#pragma unroll
    for (int from = 0; from < COUNT; from += 2)
#pragma unroll
      for (int k = 0; k < D / 16; k++) {
        uint32_t q[4];
        load_matrices(q, O::fragment(queries, k));
#pragma unroll
        for (int n = from; n < COUNT && n < from + 2; n++) {
          uint32_t b[4];
          load_matrices(b, O::fragment(first, k, n));
          multiply<T>(s[2 * n], q, b[0], b[1]);
          multiply<T>(s[2 * n + 1], q, b[2], b[3]);
        }
      }
  }

  // Scores become powers; what was there before is made to fit the largest.
  template <int COUNT, bool FIRST>
  static DEVICE void raise(Sums& sums, float (&s)[2 * COUNT][4]) {
    const float scale = LOG2_E / sqrtf(D);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float here = s[0][2 * half], sum = 0;
#pragma unroll
      for (int n = 0; n < 2 * COUNT; n++) here = fmaxf(here, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      const float top = FIRST ? row_max(here) : fmaxf(sums.top[half], row_max(here)), base = top * scale;
      if (!FIRST) {
        const float factor = exp2_of(sums.top[half] * scale - base);
        sum = sums.sum[half] * factor;
#pragma unroll
        for (int n = 0; n < CHUNKS; n++) sums.o[n][2 * half] *= factor, sums.o[n][2 * half + 1] *= factor;
      }
#pragma unroll
      for (int n = 0; n < 2 * COUNT; n++)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          s[n][i] = exp2_of(s[n][i] * scale - base);
          sum += s[n][i];
        }
      sums.top[half] = top, sums.sum[half] = sum;
    }
  }

  // A step over COUNT bands of keys, from the one at `keys` on. The first one has the sequence's end, `left` keys from
  // the last band's first, and begins the sums; each other is whole.
  template <int COUNT, bool FIRST, bool DROPS>
  static DEVICE void step(Sums& sums, Shared queries, Shared keys, int left, const Dropout& dropout, Shared known,
                          int tile, int pair) {
    float s[2 * COUNT][4];
    score<COUNT>(s, queries, keys + O::KEYS);
    const int mine = left - left_column();
    if (FIRST)
#pragma unroll
      for (int j = 0; j < 2; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (8 * j + i % 2 >= mine) s[2 * COUNT - 2 + j][i] = -INFINITY;
    raise<COUNT, FIRST>(sums, s);
    uint32_t p[2 * COUNT][2];
    pack_all<T>(p, s, 1);
    const UnitDropout draws(dropout, DROPS ? load_16(known) : Words4{});
#pragma unroll
    for (int two = 0; DROPS && two < (COUNT + 1) / 2; two++) {
      const Drawn drawn = draws.draw(tile, pair + two);
#pragma unroll
      for (int n = 4 * two; n < 4 * two + 4 && n < 2 * COUNT; n++) {
        uint32_t kept[2];
        draws.kept(kept, drawn.word[n % 4]);
        p[n][0] &= kept[0], p[n][1] &= kept[1];
      }
    }
    // Of values beyond the end, which may be NaN, zeros are taken.
    const uint32_t real[2] = {mine >= 2 ? ~0u : mine == 1 ? 0xffffu : 0, mine >= 10 ? ~0u : mine == 9 ? 0xffffu : 0};
    const Shared first = fresh(keys + O::VALUES + O::down());
    if (FIRST) clear(sums.o);
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
      const uint32_t a[4] = {p[2 * n][0], p[2 * n][1], p[2 * n + 1][0], p[2 * n + 1][1]};
#pragma unroll
      for (int c = 0; c < D / 16; c++) {
        uint32_t b[4];
        load_transposed(b, O::fragment(first, c, n));
        if (FIRST && n == COUNT - 1)
          for (int i = 0; i < 4; i++) b[i] &= real[i % 2];
        multiply<T>(sums.o[2 * c], a, b[0], b[1]);
        multiply<T>(sums.o[2 * c + 1], a, b[2], b[3]);
      }
    }
  }

  // The keys at the end, which alone are masked, come first, when nothing is to be rescaled yet.
  template <bool DROPS>
  static DEVICE void attend(const Problem& p, Shared note, int tile, const Dropout& dropout) {
    const Told told(note);
    const Shared queries = told.unit + tile * O::BAND_BYTES, mine = fresh(queries + O::down());
    const Shared draws = note + Shape::DRAWS;
    Sums sums;
    int whole = (told.length - 1) / (STEP * BAND);
    const int left = told.length - whole * (STEP * BAND), bands = (left + BAND - 1) / BAND;
    const int last = left - (bands - 1) * BAND, pair = whole * (STEP / 2);
    Shared keys = told.unit + whole * (STEP * O::BAND_BYTES);
    if (STEP > 2 && KEYS > 48 && bands == 4)
      step<4, true, DROPS>(sums, mine, keys, last, dropout, draws, tile, pair);
    else if (STEP > 2 && KEYS > 32 && bands == 3)
      step<3, true, DROPS>(sums, mine, keys, last, dropout, draws, tile, pair);
    else if (KEYS > 16 && bands == 2)
      step<2, true, DROPS>(sums, mine, keys, last, dropout, draws, tile, pair);
    else
      step<1, true, DROPS>(sums, mine, keys, last, dropout, draws, tile, pair);
#pragma unroll 1
    while (KEYS > STEP * BAND && whole--) {
      keys -= STEP * O::BAND_BYTES;
      step<STEP, false, DROPS>(sums, mine, keys, 0, dropout, draws, tile, whole * (STEP / 2));
    }
    finish(p, note, tile, sums);
  }

  static DEVICE void finish(const Problem& p, Shared note, int tile, const Sums& sums) {
    const Told told(note);
    const float scale = LOG2_E / sqrtf(D), rescale = 256 * inverse_of(static_cast<float>(256 - p.threshold));
    const int left = told.length - BAND * tile;
    const int64_t row = told.start + BAND * tile;
    const float sum[2] = {row_sum(sums.sum[0]), row_sum(sums.sum[1])};
    uint32_t words[CHUNKS][2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float factor = rescale * inverse_of(sum[half]);
#pragma unroll
      for (int n = 0; n < CHUNKS; n++)
        words[n][half] = pack<T>(sums.o[n][2 * half] * factor, sums.o[n][2 * half + 1] * factor);
    }
    const uint32_t lane = fresh(O::lane());
    const int half = lane % 4, query = lane / 4 + 8 * half;
    if (half < 2 && query < left)
      p.logsum[static_cast<int64_t>(told.head) * p.tokens + row + query] =
          (half ? sums.top[1] : sums.top[0]) * scale + log2_of(half ? sum[1] : sum[0]);
    const Shared queries = told.unit + tile * O::BAND_BYTES;
    sync_warp();  // all lanes have read this warp's queries: the result takes their place
    store_queries<D>(queries, words);
    sync_warp();
    const int64_t pitch = static_cast<int64_t>(p.heads) * HEAD;
    write_queries<D>(p.out + row * pitch + told.head * HEAD, pitch, queries, left);
  }

  template <bool DROPS>
  static DEVICE void work(const Problem& p, int warp) {
    const Dropout dropout(p);
    for (uint32_t turn = 0;; turn++) {
      const Shared at = note(turn % Shape::SLOTS);
      await_together(at + Shape::FULL, turn / Shape::SLOTS % 2);
      const Told told(at);
      if (told.length < 0) break;
      int tile = broadcast(fresh(thread()) / 32) - told.first;
      if (tile < 0) tile += Shape::WARPS;
      for (; BAND * tile < told.length; tile += Shape::WARPS) attend<DROPS>(p, at, tile, dropout);
      leave_stage(at + Shape::FREE);
    }
  }
};

template <class T, int D, int KEYS>
KERNEL((ForwardShape<D, KEYS>::THREADS), (ForwardShape<D, KEYS>::BLOCKS)) attention_forward(GIVEN GivenForward given) {
  using Shape = ForwardShape<D, KEYS>;
  using Kernel = Forward<T, D, KEYS>;
  const Problem& p = given.problem;
  const typename Kernel::Part part;
  const int warp = broadcast(part.number);
  const bool brings = warp == Shape::WARPS;
  typename Kernel::Look look;
  if (brings) look = {p, block() + part.me * static_cast<int64_t>(blocks())};  // on its way in the meantime
  if (thread() == 0) {
    for (int slot = 0; slot < Shape::SLOTS; slot++) {
      init_arrivals(Kernel::note(slot) + Shape::FULL, BULK ? 1 : 33);
      init_arrivals(Kernel::note(slot) + Shape::FREE, Shape::WARPS);
    }
    fence_arrivals();
    prefetch(given.qkv);
  }
  sync_block();  // arrivals are made
  if (brings) {
    Kernel::bring(given, part, look);
    return;
  }
  clear_rest(p, static_cast<int64_t>(p.heads) * Kernel::HEAD, 32 * Shape::WARPS);
  if (p.threshold)
    Kernel::template work<true>(p, warp);
  else
    Kernel::template work<false>(p, warp);
}
