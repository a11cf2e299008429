// Products of bf16 matrices with fp32 sums, with what surrounds them in a layer done on the way out.
//
// One side goes into tiles, a panel that fits the second-level cache at a time; the other streams past it, in place
// where it is A with its rows in memory, else from tiles made beforehand. Of the stream, a few tiles of depth stay
// in the first-level cache while they meet the whole panel.

#include <omp.h>

#include <algorithm>

#include "tiles.h"

namespace {

constexpr long PANEL = 5 << 18;  // bytes of a panel
constexpr long DEEPEST = 48;     // tiles of depth in a panel; beyond that, sums wait in memory
constexpr long NEAR = 16;        // tiles of depth of the stream at a time

struct Output {
  bf16* c;
  long rows, columns;
  const bf16* bias;  // or null
  bf16* activated;   // or null: where GELU of c goes

  void write(const float* block, long i, long j) const {
    const long wide = columns - j;
    const __mmask16 left = first(wide), right = first(wide - 16);
    const __m512 shift_left = bias ? load(bias + j, left) : _mm512_setzero_ps();
    const __m512 shift_right = bias ? load(bias + j + 16, right) : _mm512_setzero_ps();
    for (long r = i; r < std::min(i + BLOCK, rows); ++r, block += BLOCK) {
      const long place = r * columns + j;
      const __m512 x = _mm512_load_ps(block) + shift_left, y = _mm512_load_ps(block + 16) + shift_right;
      store32(c + place, x, y, wide);
      if (activated) store32(activated + place, gelu(rounded(x)), gelu(rounded(y)), wide);
    }
  }

  // Whole cache lines go past the caches: results are larger than those, and are not read before they are written.
  static void store32(bf16* to, __m512 x, __m512 y, long columns) {
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(y, x);
    if (columns >= 32 && reinterpret_cast<uintptr_t>(to) % 64 == 0)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(to), both);
    else
      _mm512_mask_storeu_epi16(to, first32(columns), both);
  }
};

struct Range {
  long begin, end;
  long size() const { return end - begin; }
  Range part(long index, long count) const {
    return {begin + size() * index / count, begin + size() * (index + 1) / count};
  }
};

// A as M x K or B as K x N, in memory the one way or the other.
struct Side {
  Matrix matrix;
  bool is_a, transposed;
  long blocks, depth;

  // Tiles of some blocks, each [depth][2 tiles].
  void pack(bf16* tiles, Range which, Range deep) const {
    auto at = [&](long block, long d) {
      return tiles + 2 * ((block - which.begin) * deep.size() + d - deep.begin) * TILE;
    };
    if (is_a != transposed) {  // the depth runs along rows of memory
      for (long n = which.begin; n < which.end; ++n)
        for (long d = deep.begin; d < deep.end; ++d) pack_along(32 * n, 32 * d, at(n, d));
    } else {
      for (long d = deep.begin; d < deep.end; ++d)
        for (long n = which.begin; n < which.end; ++n) {
          bf16* to = at(n, d);
          is_a ? matrix.pack_columns_as_rows(32 * d, 32 * n, to, to + TILE)
               : matrix.pack_columns(32 * d, 32 * n, to, to + TILE);
        }
    }
  }

  void pack_along(long row, long column, bf16* to) const {
    for (long half = 0; half < 2; ++half, row += 16, to += TILE)
      is_a ? matrix.pack_rows(row, column, to) : matrix.pack_rows_as_columns(row, column, to);
  }

  // Rows of memory can be read in place, where the block and the depth are whole.
  bool in_place() const { return is_a && !transposed; }
  bool readable(long block, Range deep) const {
    return 32 * (block + 1) <= matrix.rows && 32 * deep.end <= matrix.columns;
  }
};

struct Product {
  Side panel, stream;
  const bf16* stream_tiles;  // null: in place
  Output out;

  void run(Range along_panel, Range along_stream) const {
    Tiles configured;
    const long fitting = std::max(1l, PANEL / (4 * TILE * std::min(panel.depth, DEEPEST)));
    const long parts = (along_panel.size() + fitting - 1) / fitting;
    for (long p = 0; p < parts; ++p) run_panel(along_panel.part(p, parts), along_stream);
    _mm_sfence();  // after stores past the caches
  }

  void run_panel(Range wide, Range high) const {
    const long k = panel.depth;
    const bool waits = k > DEEPEST;
    bf16* tiles = scratch<0, bf16>(2 * wide.size() * std::min(k, DEEPEST) * TILE);
    float* sums = scratch<1, float>((waits ? high.size() : 1) * wide.size() * BLOCK * BLOCK);
    for (long d = 0; d < k; d += DEEPEST) {
      const Range deep = {d, std::min(d + DEEPEST, k)};
      panel.pack(tiles, wide, deep);
      for (long s = high.begin; s < high.end; ++s)
        for (long e = deep.begin; e < deep.end; e += NEAR)
          meet(tiles, wide, deep, s, {e, std::min(e + NEAR, deep.end)},
               sums + (waits ? (s - high.begin) * wide.size() : 0) * BLOCK * BLOCK);
    }
  }

  // A short piece of the stream against the whole panel.
  void meet(const bf16* tiles, Range wide, Range deep, long s, Range piece, float* sums) const {
    const bool last = piece.end == panel.depth;
    const Rows streamed = piece_of_stream(s, piece);
    for (long n = wide.begin; n < wide.end; ++n, sums += BLOCK * BLOCK) {
      const long i = 32 * (panel.is_a ? n : s), j = 32 * (panel.is_a ? s : n);
      const bf16* own = tiles + 2 * ((n - wide.begin) * deep.size() + piece.begin - deep.begin) * TILE;
      if (panel.is_a)
        multiply<A_PASSES>(packed(own), streamed.upper, piece.size(), sums, BLOCK, piece.begin > 0);
      else
        multiply<B_PASSES>(streamed, own, piece.size(), sums, BLOCK, piece.begin > 0);
      if (last) out.write(sums, i, j);
    }
  }

  Rows piece_of_stream(long s, Range piece) const {
    if (stream_tiles) return packed(stream_tiles + 2 * (s * stream.depth + piece.begin) * TILE);
    const Matrix& a = stream.matrix;
    if (stream.readable(s, piece)) {
      const bf16* upper = a.data + 32 * s * a.stride + 32 * piece.begin;
      return {upper, upper + 16 * a.stride, a.stride, 32};
    }
    bf16* copy = scratch<2, bf16>(2 * NEAR * TILE);
    stream.pack(copy, {s, s + 1}, piece);
    return packed(copy);
  }
};

}  // namespace

// c[M, N] = a b (+ bias), and GELU of it. a is [M, K], or [K, M] transposed; b is [K, N], or [N, K] transposed; all rows dense.
extern "C" void product(long M, long N, long K, const bf16* a, long a_transposed, const bf16* b, long b_transposed,
                        const bf16* bias, bf16* c, bf16* activated, long threads) {
  const long depth = std::max(1l, blocks(K));  // without rows in between, sums are zeros
  const Side left{a_transposed ? Matrix{a, K, M, M} : Matrix{a, M, K, K}, true, a_transposed != 0, blocks(M), depth};
  const Side right{b_transposed ? Matrix{b, N, K, K} : Matrix{b, K, N, N}, false, b_transposed != 0, blocks(N), depth};
  const Output out{c, M, N, bias, activated};
  // What cannot be read in place is packed: the smaller side beforehand, the larger one a panel at a time.
  const bool panel_is_a = !left.in_place() && M > N;
  const Side &panel = panel_is_a ? left : right, &stream = panel_is_a ? right : left;
  bf16* stream_tiles = stream.in_place() ? nullptr : scratch<3, bf16>(2 * stream.blocks * depth * TILE);
#pragma omp parallel num_threads(threads)
  {
    // OpenMP may give fewer threads than asked for.
    const long me = omp_get_thread_num(), team = omp_get_num_threads();
    long across = team;  // the panel's side is shared out first: then each panel is made once
    while (across > 1 && (team % across || panel.blocks / across < 4)) --across;
    const long down = team / across;
    const Range all{0, stream.blocks};
    if (stream_tiles) {
      const Range mine = all.part(me, team);
      stream.pack(stream_tiles + 2 * mine.begin * depth * TILE, mine, {0, depth});
#pragma omp barrier
    }
    Product{panel, stream, stream_tiles, out}.run(Range{0, panel.blocks}.part(me % across, across),
                                                  all.part(me / across, down));
  }
}
