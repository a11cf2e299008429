// Attention backward where four warps multiply together (WARPGROUPS): groups of them have 64 queries each of a unit.
//
// P, M, dP and dS are those of backward.h. S = Q K^T and dP of all keys lie in registers, 16 queries a warp, so that dQ
// = dS K takes dS from there; P * M and dS pass to those who have the keys through squares of shared memory, whose rows
// are keys, in panels of 64 queries. Tiles are read by the matrix unit from where they arrived, while the next unit's
// arrive beside them.
#pragma once

#include "dropout.h"
#include "fragments.h"

template <int D, int KEYS>
struct GroupShape {
  static constexpr int GROUPS = (KEYS + 63) / 64;
  static constexpr int UNITS = GROUPS > 1 ? 1 : KEYS > 48 ? 3 : 4;
  static constexpr int UNIT_THREADS = GROUPS * 128, THREADS = UNITS * UNIT_THREADS;
  static constexpr int TILE = KEYS * D * BYTES, STAGE = 4 * TILE;  // queries, keys, values, gradient of the result
  // Squares: whole panels, and one of the last queries, which may be narrower.
  static constexpr int REST = KEYS - 64 * (GROUPS - 1);
  static constexpr int LAST_CHUNKS = REST > 32 ? 8 : REST / 8;
  static constexpr int PANEL = KEYS * 8 * 16, LAST_PANEL = KEYS * LAST_CHUNKS * 16;
  // A unit of one group has its dS where values were.
  static constexpr int SQUARES = GROUPS > 1 ? 2 : 1;
  static constexpr int SQUARE = (GROUPS - 1) * PANEL + LAST_PANEL;
  static constexpr int STAGES = UNITS * (2 * STAGE + SQUARES * SQUARE) <= 230400 ? 2 : 1;
  static constexpr int UNIT = (STAGES * STAGE + SQUARES * SQUARE + 1023) / 1024 * 1024;
  static constexpr int ARRIVALS = UNITS * UNIT;
  // 64 rows are read of a panel where there are fewer.
  static constexpr int BEHIND = 48 * 16 * LAST_CHUNKS, NOTES = UNITS * STAGES * 16;
  static constexpr int SHARED = ARRIVALS + (NOTES > BEHIND ? NOTES : BEHIND);
};

template <class T, int D, int KEYS>
struct BackwardGroup {
  using Shape = GroupShape<D, KEYS>;
  using Part = ::Part<Shape::UNIT_THREADS, Shape::UNITS>;
  static constexpr int CHUNKS = D / 8, STEPS = D / 16, BANDS = KEYS / 16, TILE = Shape::TILE, HEAD = D * BYTES;
  static constexpr int LAST = Shape::GROUPS - 1;
  static constexpr bool TOGETHER = KEYS > 48 && KEYS <= 96;  // registers for S and dP at once

  // What a warp needs to know of its unit; the numbers are the same for all lanes.
  struct Unit {
    Item item;
    int head;
    int length, warp, group;  // which warp of the unit, which four of them
    Shared stage, squares;
    float logsum[2];  // of this thread's queries
    const Dropout& dropout;

    DEVICE bool works() const { return 64 * group < length; }
    DEVICE bool own() const { return 16 * warp < length; }
    DEVICE int left() const { return length - 64 * group; }
    DEVICE Shared queries(int band) const { return stage + band_place<CHUNKS>(band); }
    DEVICE Shared keys(int band) const { return queries(band) + TILE; }
    DEVICE Shared values(int band) const { return queries(band) + 2 * TILE; }
    DEVICE Shared grads(int band) const { return queries(band) + 3 * TILE; }
    DEVICE GroupPanel panel(int square, int number) const {
      if (Shape::LAST_CHUNKS < 8 && number == LAST) return {last_panel(square), Shape::LAST_CHUNKS};
      return {number < LAST ? whole_panel(square, number) : last_panel(square), 8};
    }
    DEVICE Shared whole_panel(int square, int panel) const { return squares + (square * LAST + panel) * Shape::PANEL; }
    DEVICE Shared last_panel(int square) const {
      if (Shape::SQUARES == 1) return square ? values(0) : squares;
      return whole_panel(Shape::SQUARES, 0) + square * Shape::LAST_PANEL;
    }
  };

  // A unit to come, of which its number or place are read from memory and not looked at yet.
  struct Ahead {
    bool there;
    int unit, head = 0, start = 0, stop = 0;

    DEVICE Ahead(const Problem& p, int number) : there(number < p.sequences * p.heads), unit(number) {
      if (there && p.order) unit = p.order[number];
    }

    DEVICE void read_place(const Problem& p) {
      if (!there) return;
      const int sequence = unit / p.heads;
      head = unit - sequence * p.heads;
      start = p.offsets[sequence], stop = p.offsets[sequence + 1];
    }

    DEVICE Item item() const {
      const int length = stop - start;
      return {there ? unit : 0, start, length < KEYS ? length : KEYS};
    }
  };

  static DEVICE void read_logsum(float (&logsum)[2], const Problem& p, int warp, const Item& item, int head) {
    const int query = 16 * warp + upper_row();
    const float* from = p.logsum + static_cast<int64_t>(head) * p.tokens + item.start + query;
#pragma unroll
    for (int half = 0; half < 2; half++) logsum[half] = query + 8 * half < item.length ? from[8 * half] : INFINITY;
  }

  // In bulk by the part's last warp, which has least to do; it tells first what is to come.
  static DEVICE void start(const GivenBackward& given, int warp, const Item& item, int head, Shared stage,
                           Shared arrivals) {
    if (warp < Shape::UNIT_THREADS / 32 - 1 || !elect()) return;
    const int heads = given.problem.heads, column = head * D;
    arrive_expecting(arrivals, 4 * bytes_of_rows<D>(item.length));
#pragma unroll 1
    for (int band = 0; BAND * band < item.length; band++) {
      const int row = item.start + BAND * band;
      const Shared to = stage + band_place<CHUNKS>(band);
#pragma unroll
      for (int i = 0; i < 3; i++) copy_band<CHUNKS>(to + i * TILE, given.qkv, row, column + i * heads * D, arrivals);
      copy_band<CHUNKS>(to + 3 * TILE, given.grad, row, column, arrivals);
    }
  }

  // Rows of tiles from the last one up to a multiple of 16 become zeros.
  static DEVICE void end_all(const Part& part, const Unit& u) {
    const int last = u.length % BAND;
    if (last == 0) return;
    const Shared band = u.stage + band_place<CHUNKS>(u.length / BAND);
#pragma unroll
    for (int first = 0; first < 4 * BAND * CHUNKS; first += Shape::UNIT_THREADS) {
      const int i = first + part.me, tile = i / (BAND * CHUNKS), chunk = i % (BAND * CHUNKS);
      if (i < 4 * BAND * CHUNKS && chunk / CHUNKS >= last) store_16(band + tile * TILE + 16 * chunk, {{0, 0, 0, 0}});
    }
  }

  // The group's 64 rows times all rows of another tile.
  static DEVICE void times_rows(float (&sum)[KEYS / 2], Shared rows, int left, Shared others) {
#pragma unroll
    for (int k = 0; k < STEPS; k++) multiply_rows<T, KEYS>(sum, rows, left, others, k, k > 0);
    close_products();
  }

  // P, its sign saying "dropped", as the matrix unit takes it: of each 16 keys (upper, lower) left, then right.
  static DEVICE void probabilities(uint32_t (&p)[BANDS][4], const float (&s)[KEYS / 2], const Problem& problem,
                                   const Unit& u) {
    const float scale = LOG2_E / sqrtf(D);
    const bool drops = problem.threshold > 0;
    Drawn drawn = {{0, 0, 0, 0}};
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      if (16 * n >= u.length) break;
      if (drops && n % 2 == 0) drawn = u.dropout.draw(u.item.unit, u.warp, n / 2);
      float x[8];
#pragma unroll
      for (int i = 0; i < 8; i++) x[i] = s[8 * n + i] * scale - u.logsum[i / 2 % 2];
      if (16 * n + 16 > u.length) {
        const int left = u.length - 16 * n - left_column();
#pragma unroll
        for (int i = 0; i < 8; i++)
          if (i / 4 * 8 + i % 2 >= left) x[i] = -INFINITY;
      }
#pragma unroll
      for (int i = 0; i < 8; i++) x[i] = exp2_of(x[i]);
#pragma unroll
      for (int j = 0; j < 2; j++) {
        uint32_t kept[2] = {~0u, ~0u};
        if (drops) u.dropout.kept(kept, drawn.word[2 * (n % 2) + j]);
#pragma unroll
        for (int half = 0; half < 2; half++)
          p[n][2 * j + half] = pack<T>(x[4 * j + 2 * half], x[4 * j + 2 * half + 1]) | (~kept[half] & 0x80008000u);
      }
    }
  }

  // dS, but for M's rescaling. Rows of P * dP are summed as they are rounded.
  static DEVICE void scores_gradient(uint32_t (&p)[BANDS][4], float (&dp)[KEYS / 2], int length) {
    float delta[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      if (16 * n >= length) break;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float kept[2];
        unpack<T>(kept, without_negative<T>(p[n][i]));
#pragma unroll
        for (int k = 0; k < 2; k++) {
          dp[8 * n + 2 * i + k] *= kept[k];
          delta[i % 2] += dp[8 * n + 2 * i + k];
        }
      }
    }
    for (int half = 0; half < 2; half++) delta[half] = row_sum(delta[half]);
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      if (16 * n >= length) break;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float both[2];
        unpack<T>(both, p[n][i]);
        p[n][i] = pack<T>(dp[8 * n + 2 * i] - fabsf(both[0]) * delta[i % 2],
                          dp[8 * n + 2 * i + 1] - fabsf(both[1]) * delta[i % 2]);
      }
    }
  }

  // This warp's columns of a square.
  template <int SQUARE>
  static DEVICE void store_square(const uint32_t (&words)[BANDS][4], const Unit& u) {
    if (u.group < LAST || Shape::LAST_CHUNKS == 8)
      store_columns<8, SQUARE>(words, u.group < LAST ? u.whole_panel(SQUARE, u.group) : u.last_panel(SQUARE), u);
    else
      store_columns<Shape::LAST_CHUNKS, SQUARE>(words, u.last_panel(SQUARE), u);
  }

  template <int PANEL, int SQUARE>
  static DEVICE void store_columns(const uint32_t (&words)[BANDS][4], Shared panel, const Unit& u) {
    const int lane = thread() % 32, row = lane / 16 * 8 + lane % 8, chunk = (2 * u.warp + lane / 8 % 2) % PANEL;
    const Shared own = fresh(panel + (row * PANEL + (chunk ^ (row & 7) / (8 / PANEL))) * 16);
#pragma unroll
    for (int n = 0; n < BANDS; n++) {
      if (16 * n >= u.length) break;
      uint32_t mine[4];
#pragma unroll
      for (int i = 0; i < 4; i++) mine[i] = SQUARE ? words[n][i] : without_negative<T>(words[n][i]);
      store_transposed(own + band_place<PANEL>(n), mine);
    }
  }

  enum Kind { QUERIES, KEYS_, VALUES };

  // A gradient of 64 tokens, those of a group: of queries dS times keys, of keys and values dS and P, the other way
  // round, times queries and gradients.
  template <Kind KIND>
  static DEVICE void gradient(float (&sum)[32], const Unit& u, int group) {
    open_products();
    if (KIND == QUERIES)
      add_bands<true>(sum, u, u.panel(1, group), 0, BANDS, u.length - 64 * group, u.keys(0));
    else
#pragma unroll
      for (int number = 0; number <= LAST; number++) {
        GroupPanel panel = u.panel(KIND == KEYS_, number);
        panel.place += group * (64 * 16) * panel.chunks;
        add_bands<false>(sum, u, panel, 4 * number, 4, u.length - 64 * group,
                           KIND == KEYS_ ? u.queries(0) : u.grads(0));
      }
    close_products();
  }

  // Of bands of 16 tokens from `first` on; the very first sets the sums.
  template <bool ACROSS>
  static DEVICE void add_bands(float (&sum)[32], const Unit& u, GroupPanel panel, int first, int bands, int left,
                               Shared rows) {
    rows += band_place<CHUNKS>(first);
    if (first == 0) multiply_columns<T, ACROSS>(sum, panel, 0, left, rows, false);
#pragma unroll 1
    for (int i = first == 0; i < bands && BAND * (first + i) < u.length; i++)
      multiply_columns<T, ACROSS>(sum, ACROSS ? panel.down(i) : panel, ACROSS ? 0 : i, left,
                                  rows + band_place<CHUNKS>(i), true);
  }

  using Words = uint32_t[CHUNKS][2];

  static DEVICE void pack_sums(Words& words, const float (&sum)[32], float factor) {
#pragma unroll
    for (int n = 0; n < CHUNKS; n++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        words[n][half] = pack<T>(sum[4 * n + 2 * half] * factor, sum[4 * n + 2 * half + 1] * factor);
  }

  // By a warp, 16 rows of a result, by way of a place that nobody else needs.
  static DEVICE void write(const Problem& p, const Unit& u, Kind kind, int tile, Shared place, const Words& words) {
    if (16 * tile >= u.length) return;
    store_fragments<CHUNKS>(place, 0, words);
    sync_warp();  // they are there
    const int64_t pitch = static_cast<int64_t>(3 * p.heads) * HEAD;
    write_band<CHUNKS>(p.out + (u.item.start + 16 * tile) * pitch + (kind * p.heads + u.head) * HEAD, pitch, place,
                       u.length - 16 * tile);
    sync_warp();  // they have been read
  }

  template <class Ahead>
  static DEVICE void work(const Problem& p, const Part& part, const Unit& u, float factor, float rescale,
                          const Ahead& ahead) {
    if (u.works()) scores(p, part, u, ahead);
    else ahead();
    fence_copies();
    part.sync();  // squares are whole
    if (!u.works() && !spared(u)) return;
    gradients(p, part, u, factor, rescale);
  }

  static DEVICE void gradients(const Problem& p, const Part& part, const Unit& u, float factor, float rescale) {
    if (Shape::SQUARES == 1)
      gradients_of_one(p, part, u, factor, rescale);
    else if (spared(u))
      gradients_of_spared(p, u, factor);
    else
      gradients_of_group(p, u, factor, rescale);
  }

  // The only group's: they must not lie anywhere before all has been read.
  static DEVICE void gradients_of_one(const Problem& p, const Part& part, const Unit& u, float factor, float rescale) {
    float first[32], second[32];
    Words values, keys, queries;
    gradient<VALUES>(first, u, 0);
    gradient<KEYS_>(second, u, 0);
    await_products<1>(first);
    pack_sums(values, first, rescale);
    gradient<QUERIES>(first, u, 0);
    await_products<1>(second);
    pack_sums(keys, second, factor);
    await_products<0>(first);
    pack_sums(queries, first, factor);
    part.sync();  // all has been read: results may take its place
    const Shared place = u.values(u.warp);
    write(p, u, VALUES, u.warp, place, values);
    write(p, u, KEYS_, u.warp, place, keys);
    write(p, u, QUERIES, u.warp, place, queries);
  }

  static DEVICE void gradients_of_group(const Problem& p, const Unit& u, float factor, float rescale) {
    float first[32], second[32];
    Words words;
    const Shared place = u.values(u.warp);  // read for the last time before squares were whole
    gradient<VALUES>(first, u, u.group);
    gradient<KEYS_>(second, u, u.group);
    await_products<1>(first);
    pack_sums(words, first, rescale);
    write(p, u, VALUES, u.warp, place, words);
    await_products<0>(second);
    pack_sums(words, second, factor);
    write(p, u, KEYS_, u.warp, place, words);
    if (has_spare(u)) return;
    gradient<QUERIES>(first, u, u.group);
    await_products<0>(first);
    pack_sums(words, first, factor);
    write(p, u, QUERIES, u.warp, place, words);
  }

  // The last group has no tokens, and takes the others' queries.
  static DEVICE void gradients_of_spared(const Problem& p, const Unit& u, float factor) {
    const Shared place = u.last_panel(0) + band_place<CHUNKS>(u.warp % 4);
#pragma unroll 1
    for (int group = 0; 64 * group < u.length; group++) {
      float sum[32];
      Words words;
      gradient<QUERIES>(sum, u, group);
      await_products<0>(sum);
      pack_sums(words, sum, factor);
      write(p, u, QUERIES, 4 * group + u.warp % 4, place, words);
    }
  }

  // Of three groups, while two have all of a unit's tokens. Panels of queries that are not there have room for results.
  static DEVICE bool has_spare(const Unit& u) { return Shape::GROUPS == 3 && u.length <= 128; }
  static DEVICE bool spared(const Unit& u) { return has_spare(u) && u.group == 2; }

  // Both squares.
  template <class Ahead>
  static DEVICE void scores(const Problem& p, const Part& part, const Unit& u, const Ahead& ahead) {
    uint32_t words[BANDS][4];
    float s[KEYS / 2], dp[KEYS / 2];
    open_products();
    times_rows(s, u.queries(4 * u.group), u.left(), u.keys(0));
    if (TOGETHER) times_rows(dp, u.grads(4 * u.group), u.left(), u.values(0));
    ahead();
    await_products<TOGETHER>(s);
    if (u.own()) {
      probabilities(words, s, p, u);
      store_square<0>(words, u);
    } else {
#pragma unroll
      for (int i = 0; i < 4 * BANDS; i++) words[i / 4][i % 4] = 0;
    }
    if (!TOGETHER) {
      open_products();
      times_rows(dp, u.grads(4 * u.group), u.left(), u.values(0));
    }
    await_products<0>(dp);
    if (u.own()) scores_gradient(words, dp, u.length);
    if (Shape::SQUARES == 1) part.sync();  // values have been read
    if (u.own()) store_square<1>(words, u);
  }
};

template <class T, int D, int KEYS>
KERNEL((GroupShape<D, KEYS>::THREADS), 1)
attention_backward_group(GIVEN GivenBackward given) {
  using Shape = GroupShape<D, KEYS>;
  using Kernel = BackwardGroup<T, D, KEYS>;
  const Problem& p = given.problem;
  const typename Kernel::Part part;
  const int number = uniform(part.number), warp = uniform(part.warp);
  const int groups = (p.sequences * p.heads + Shape::UNITS - 1) / Shape::UNITS;
  const Shared stages = number * Shape::UNIT, arrivals = Shape::ARRIVALS + number * Shape::STAGES * 16;
  const float rescale = 256.f / (256 - p.threshold), factor = rescale / sqrtf(D);
  if (part.leads()) {
    for (int stage = 0; stage < Shape::STAGES; stage++) prepare_stage(part, arrivals + 16 * stage);
    fence_arrivals();
  }
  sync_block();  // arrivals are made
  const Dropout dropout(p);
  const auto number_of = [&](int group) { return group * Shape::UNITS + number; };
  // A unit's number is read three units ahead, where it lies two, its sums one: nothing waits for memory, least of all
  // behind rows in bulk.
  Item item = find_item<KEYS>(p, number_of(block()));
  int head = item.unit % p.heads;
  typename Kernel::Ahead next(p, number_of(block() + blocks())), after(p, number_of(block() + 2 * blocks()));
  next.read_place(p);
  float logsum[2];
  Kernel::read_logsum(logsum, p, warp, item, head);
  Kernel::start(given, warp, item, head, stages, arrivals);
  int stage = 0, parity = 0;
  for (int group = block(); group < groups; group += blocks()) {
    const typename Kernel::Unit unit = {item, head, uniform(item.length), warp, warp / 4, stages + stage * Shape::STAGE,
                                        stages + Shape::STAGES * Shape::STAGE, {logsum[0], logsum[1]}, dropout};
    const bool more = group + blocks() < groups;
    await(arrivals + 16 * stage, parity);
    Kernel::end_all(part, unit);
    fence_copies();
    part.sync();  // this item's rows are whole, and all of the one before has been read
    if (++stage == Shape::STAGES) stage = 0, parity ^= 1;
    if (Shape::STAGES > 1 && more)
      Kernel::start(given, warp, next.item(), next.head, stages + stage * Shape::STAGE, arrivals + 16 * stage);
    Kernel::work(p, part, unit, factor, rescale, [&] {
      item = next.item(), head = next.head, next = after;
      Kernel::read_logsum(logsum, p, warp, item, head);
      next.read_place(p);
      after = typename Kernel::Ahead(p, number_of(group + 3 * blocks()));
    });
    if (Shape::STAGES == 1) {
      fence_copies();
      part.sync();  // all has been read: the next item's rows may come
      if (more) Kernel::start(given, warp, item, head, stages, arrivals);
    }
    spoil_beyond<KEYS>(p, unit.item, Kernel::HEAD, 3, part.me, Shape::UNIT_THREADS);
  }
  clear_rest(p, 3 * p.heads * Kernel::HEAD, Shape::THREADS);
}
