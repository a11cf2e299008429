// Attention forward: a warp takes 16 queries at a time of a (sequence, head), and goes over its keys 32 at a time.
//
// The last warp of a block brings units into stages; groups of the others take these in turn, each warp every so many
// bands of 16 queries of its group's units, as if they were one long row of bands. Nobody waits for a whole block.
#pragma once

#include "dropout.h"

// A call with sequences of up to KEYS tokens.
template <int D, int KEYS>
struct ForwardShape {
  static constexpr int GROUPS = KEYS > 64 ? 1 : KEYS > 16 ? 2 : 7;
  static constexpr int WARPS = KEYS > 64 ? (D > 64 ? 7 : 9) : KEYS > 16 ? 3 : 1;  // of a group
  static constexpr int WORKERS = GROUPS * WARPS, THREADS = (WORKERS + 1) * 32;
  static constexpr int CHUNKS = D / 8;
  static constexpr int TILE = KEYS * D * BYTES, STAGE = 3 * TILE;
  static constexpr int ROOM = 110 * 1024;  // two blocks share a processor
  static constexpr int EACH = ROOM / (GROUPS * STAGE);
  static constexpr int DEPTH = EACH < 1 ? 1 : EACH < 4 ? EACH : 4;  // stages of a group
  static constexpr int STAGES = GROUPS * DEPTH;
  static constexpr int NOTES = STAGES * STAGE;  // of each stage: its item, its arrivals, the arrivals of who left it
  static constexpr int NOTE = 48, FULL = 16, FREE = 32;
  static constexpr int SHARED = NOTES + STAGES * NOTE;
};

struct GivenForward {
  Problem problem;
  Rows qkv;  // bands of heads
};

template <class T, int D, int KEYS>
struct Forward {
  using Shape = ForwardShape<D, KEYS>;
  static constexpr int CHUNKS = Shape::CHUNKS, HEAD = D * BYTES, TILE = Shape::TILE;
  static constexpr int END = -1;  // as a length: no more units
  using Part = ::Part<32, Shape::WORKERS + 1>;

  static DEVICE Shared note(int stage) { return Shape::NOTES + stage * Shape::NOTE; }

  // ---- who brings ---------------------------------------------------------------------------------------------

  struct Bounds {
    int start, end;
  };

  static DEVICE int unit_at(const Problem& p, int64_t number) {
    return number >= p.sequences * p.heads ? 0 : p.order ? p.order[number] : number;
  }

  static DEVICE Bounds bounds_of(const Problem& p, int unit) {
    if (p.sequences == 0) return {0, 0};
    const int sequence = unit / p.heads;
    return {p.offsets[sequence], p.offsets[sequence + 1]};
  }

  static DEVICE void bring(const GivenForward& given, const Part& part) {
    const Problem& p = given.problem;
    const int units = p.sequences * p.heads, step = blocks();
    int first[Shape::GROUPS] = {};  // which warp of a group has its next unit's first band
    int group = 0, depth = 0, parity = 1;
    // One unit's bounds and the next one's number are on their way while the one before is brought.
    int number = block(), unit = unit_at(p, number), next = unit_at(p, int64_t{number} + step);
    Bounds bounds = bounds_of(p, unit);
    for (int left = Shape::GROUPS; left; number = number < units ? number + step : number) {
      Item item = {unit, bounds.start, END};
      if (number < units) {
        item.length = bounds.end - bounds.start;
        unit = next, bounds = bounds_of(p, unit), next = unit_at(p, int64_t{number} + 2 * step);
        spoil_beyond<KEYS>(p, item, HEAD, 1, part.me, 32);
        if (item.length > KEYS) item.length = KEYS;
      } else {
        left--;
      }
      const int stage = group * Shape::DEPTH + depth;
      await_together(note(stage) + Shape::FREE, parity);
      fill(given, part, item, stage, first[0]);
      const int bands = item.length < 0 ? 0 : (item.length + BAND - 1) / BAND;
      int after = Shape::WARPS == 1 ? 0 : first[0] + bands;
      while (after >= Shape::WARPS) after -= Shape::WARPS;
#pragma unroll
      for (int i = 0; i + 1 < Shape::GROUPS; i++) first[i] = first[i + 1];
      first[Shape::GROUPS - 1] = after;
      if (++group == Shape::GROUPS) {
        group = 0;
        if (++depth == Shape::DEPTH) depth = 0, parity ^= 1;
      }
    }
  }

  static DEVICE void fill(const GivenForward& given, const Part& part, const Item& item, int stage, int first) {
    const int heads = given.problem.heads, head = item.unit % heads, rows = item.length < 0 ? 0 : item.length;
    const Shared full = note(stage) + Shape::FULL;
    if (part.leads()) {
      store_16(note(stage), {{static_cast<uint32_t>(item.unit), static_cast<uint32_t>(item.start),
                              static_cast<uint32_t>(item.length), static_cast<uint32_t>(head << 8 | first)}});
      if (!BULK) arrive(full);
    }
    // Bytes may be expected before they are on their way; copies of threads must be before their threads arrive.
    if (BULK) seal_stage(part, full, 3 * bytes_of_rows<D>(rows));
    start_tiles<D, 3>(part, stage * Shape::STAGE, given.qkv, item.start, head * D, rows, full, {TILE, heads * D});
    if (!BULK) seal_stage(part, full, 0);
  }

  // ---- who works ----------------------------------------------------------------------------------------------

  // What a warp has of its 16 queries: all that was seen of keys so far, by rows `upper_row()` and 8 below.
  struct Sums {
    float o[CHUNKS][4], top[2], sum[2];
  };

  struct Lanes {
    Fragments<CHUNKS> down, beside;
    DEVICE Lanes() : down(Fragments<CHUNKS>::of_down()), beside(Fragments<CHUNKS>::of_beside()) {}
  };

  // A step over BANDS bands of keys, from the one at `keys` on. The first one has the sequence's end, `left` keys
  // from the last band's first, and begins the sums; each other is whole.
  template <int BANDS, bool FIRST>
  static DEVICE void step(Sums& sums, const Lanes& lanes, Shared queries, Shared keys, int left,
                          const Dropout& dropout, bool drops, int unit, int tile, int pair) {
    const float scale = LOG2_E / sqrtf(D);
    float s[2 * BANDS][4];
    clear(s);
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
      uint32_t q[4], b[4];
      load_matrices(q, lanes.down.in(queries, k));
#pragma unroll
      for (int n = 0; n < BANDS; n++) {
        load_matrices(b, lanes.beside.in(keys, k, n));
        multiply<T>(s[2 * n], q, b[0], b[1]);
        multiply<T>(s[2 * n + 1], q, b[2], b[3]);
      }
    }
    const int mine = left - left_column();
    if (FIRST)
#pragma unroll
      for (int j = 0; j < 2; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (8 * j + i % 2 >= mine) s[2 * BANDS - 2 + j][i] = -INFINITY;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float top = FIRST ? -INFINITY : sums.top[half];
      float here = s[0][2 * half];
#pragma unroll
      for (int n = 0; n < 2 * BANDS; n++) here = fmaxf(here, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      top = fmaxf(top, row_max(here));
      const float base = top * scale;
      float sum = 0;
      if (!FIRST) {
        const float factor = exp2_of(sums.top[half] * scale - base);
        sum = sums.sum[half] * factor;
#pragma unroll
        for (int n = 0; n < CHUNKS; n++) sums.o[n][2 * half] *= factor, sums.o[n][2 * half + 1] *= factor;
      }
#pragma unroll
      for (int n = 0; n < 2 * BANDS; n++)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          s[n][i] = exp2_of(s[n][i] * scale - base);
          sum += s[n][i];
        }
      sums.top[half] = top, sums.sum[half] = sum;
    }
    uint32_t p[2 * BANDS][2];
    pack_all<T>(p, s, 1);
    if (drops) {
      const Drawn drawn = dropout.draw(unit, tile, pair);
#pragma unroll
      for (int n = 0; n < 2 * BANDS; n++) {
        uint32_t kept[2];
        dropout.kept(kept, drawn.word[n]);
        p[n][0] &= kept[0], p[n][1] &= kept[1];
      }
    }
    // Of values beyond the end, which may be NaN, zeros are taken.
    const uint32_t real[2] = {mine >= 2 ? ~0u : mine == 1 ? 0xffffu : 0, mine >= 10 ? ~0u : mine == 9 ? 0xffffu : 0};
    if (FIRST) clear(sums.o);
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      const uint32_t a[4] = {p[2 * n][0], p[2 * n][1], p[2 * n + 1][0], p[2 * n + 1][1]};
#pragma unroll
      for (int c = 0; c < D / 16; c++) {
        uint32_t b[4];
        load_transposed(b, lanes.down.in(keys + TILE, c, n));
        if (FIRST && n == BANDS - 1)
          for (int i = 0; i < 4; i++) b[i] &= real[i % 2];
        multiply<T>(sums.o[2 * c], a, b[0], b[1]);
        multiply<T>(sums.o[2 * c + 1], a, b[2], b[3]);
      }
    }
  }

  static DEVICE void attend(const Problem& p, const Lanes& lanes, const Item& item, int head, int tile,
                            const Dropout& dropout, Shared stage) {
    const bool drops = p.threshold != 0;
    const Shared queries = stage + band_place<CHUNKS>(tile), keys = stage + TILE;
    Sums sums;
    // The last, which alone is masked, comes first, when nothing is to be rescaled yet.
    int pair = (item.length - 1) / (2 * BAND);
    const int left = item.length - 2 * BAND * pair;
    const Shared last = keys + band_place<CHUNKS>(2) * pair;
    if (KEYS > BAND && left > BAND)
      step<2, true>(sums, lanes, queries, last, left - BAND, dropout, drops, item.unit, tile, pair);
    else
      step<1, true>(sums, lanes, queries, last, left, dropout, drops, item.unit, tile, pair);
    Shared at = last;
#pragma unroll 1
    while (KEYS > 2 * BAND && pair--) {
      at -= band_place<CHUNKS>(2);
      step<2, false>(sums, lanes, queries, at, 0, dropout, drops, item.unit, tile, pair);
    }
    finish(p, sums, item, head, tile, queries);
  }

  static DEVICE void finish(const Problem& p, Sums& sums, const Item& item, int head, int tile, Shared queries) {
    const float scale = LOG2_E / sqrtf(D), rescale = 256.f / (256 - p.threshold);
    const int left = item.length - BAND * tile;
    const int64_t row = item.start + BAND * tile;
    uint32_t words[CHUNKS][2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float sum = row_sum(sums.sum[half]), factor = rescale / sum;
#pragma unroll
      for (int n = 0; n < CHUNKS; n++)
        words[n][half] = pack<T>(sums.o[n][2 * half] * factor, sums.o[n][2 * half + 1] * factor);
      const int query = upper_row() + 8 * half;
      if (left_column() == 0 && query < left)
        p.logsum[static_cast<int64_t>(head) * p.tokens + row + query] = sums.top[half] * scale + log2_of(sum);
    }
    sync_warp();  // all lanes have read this warp's queries: the result takes their place
    store_fragments<CHUNKS>(queries, 0, words);
    sync_warp();
    const BandWalk<CHUNKS> walk;
    const int64_t pitch = static_cast<int64_t>(p.heads) * HEAD;
    unsigned char* to = p.out + (row + walk.row) * pitch + (head * HEAD + walk.byte());
    walk.over(queries, [&](Shared from, int down, int byte) {
      if (walk.row + down < left) write_16(to + down * pitch + byte, load_16(from));
    });
  }

  static DEVICE void work(const Problem& p, int worker) {
    const Dropout dropout(p);
    const Lanes lanes;
    const int group = worker / Shape::WARPS, warp = worker % Shape::WARPS;
    int depth = 0, parity = 0;
    for (;;) {
      const int stage = group * Shape::DEPTH + depth;
      await_together(note(stage) + Shape::FULL, parity);
      const Words4 told = load_16(note(stage));
      const Item item = {static_cast<int>(told.word[0]), static_cast<int>(told.word[1]),
                         static_cast<int>(told.word[2])};
      if (item.length < 0) break;
      int tile = warp - static_cast<int>(told.word[3] & 0xff);
      if (tile < 0) tile += Shape::WARPS;
      for (; BAND * tile < item.length; tile += Shape::WARPS)
        attend(p, lanes, item, told.word[3] >> 8, tile, dropout, stage * Shape::STAGE);
      leave_stage(note(stage) + Shape::FREE);
      if (++depth == Shape::DEPTH) depth = 0, parity ^= 1;
    }
  }
};

template <class T, int D, int KEYS>
KERNEL((ForwardShape<D, KEYS>::THREADS), (D > 64 || !COUNTED_OUT ? 1 : 2)) attention_forward(GIVEN GivenForward given) {
  using Shape = ForwardShape<D, KEYS>;
  using Kernel = Forward<T, D, KEYS>;
  const Problem& p = given.problem;
  const typename Kernel::Part part;
  const int warp = broadcast(part.number);
  if (thread() == 0) {
    prefetch(given.qkv);
    for (int stage = 0; stage < Shape::STAGES; stage++) {
      init_arrivals(Kernel::note(stage) + Shape::FULL, BULK ? 1 : 33);
      init_arrivals(Kernel::note(stage) + Shape::FREE, Shape::WARPS);
    }
    fence_arrivals();
  }
  sync_block();  // arrivals are made
  clear_rest(p, static_cast<int64_t>(p.heads) * Kernel::HEAD, Shape::THREADS);
  if (warp == Shape::WORKERS)
    Kernel::bring(given, part);
  else
    Kernel::work(p, warp);
}
