// What the operations on rows offer to their caller, in C.
#include "row_gelu.h"
#include "row_losses.h"
#include "row_norm.h"

namespace {

constexpr int UNSUPPORTED = -1, MOST_CHUNKS = 4;

int at_most(int blocks, int most) { return blocks < most ? blocks : most; }

template <class T, int CHUNKS, bool AFTER>
int norm(const RowNorm& p, bool backward, void* stream) {
  constexpr int THREADS = norm_threads(CHUNKS), WARPS = THREADS / LANES;
  const int blocks = at_most((p.rows + WARPS - 1) / WARPS, p.most_blocks);
  // The widest row that so many chunks hold: what a kernel asks of shared memory does not change.
  constexpr int SHARED = WARPS * CHUNKS * LANES * EACH * 4;
  return backward ? launch<row_norm_backward<T, CHUNKS, AFTER>>(p, blocks, THREADS, SHARED, stream)
                  : launch<row_norm_forward<T, CHUNKS, AFTER>>(p, blocks, THREADS, 0, stream);
}

template <class T, int CHUNKS>
int norm_of_width(const RowNorm& p, bool backward, void* stream) {
  if constexpr (CHUNKS > MOST_CHUNKS)
    return UNSUPPORTED;
  else if (p.width > CHUNKS * LANES * EACH)
    return norm_of_width<T, CHUNKS + 1>(p, backward, stream);
  else
    return p.after ? norm<T, CHUNKS, true>(p, backward, stream) : norm<T, CHUNKS, false>(p, backward, stream);
}

int row_norm(const RowNorm& p, bool backward, void* stream) {
  return p.bfloat16 ? norm_of_width<BFloat16, 1>(p, backward, stream) : norm_of_width<Float16, 1>(p, backward, stream);
}

template <class T>
int gelu(const Gelu& p, bool backward, void* stream) {
  const int tiles = (p.width / EACH + LANES - 1) / LANES, slabs = (p.rows + SLAB - 1) / SLAB;
  return backward ? launch<gelu_rows<T, true>>(p, tiles * slabs, GELU_THREADS, EACH * GELU_THREADS * 4, stream)
                  : launch<gelu_rows<T, false>>(p, tiles * slabs, GELU_THREADS, 0, stream);
}

template <class T>
int loss(const RowLoss& p, bool backward, void* stream) {
  constexpr int SHARED = 8 * LOSS_WARPS * 4;
  if (p.share)
    return backward ? launch<divergence_backward<T>>(p, p.rows, LOSS_THREADS, SHARED, stream)
                    : launch<divergence_forward<T>>(p, p.rows, LOSS_THREADS, SHARED, stream);
  return backward ? launch<cross_entropy_backward<T>>(p, p.rows, LOSS_THREADS, SHARED, stream)
                  : launch<cross_entropy_forward<T>>(p, p.rows, LOSS_THREADS, SHARED, stream);
}

}  // namespace

extern "C" int interbert_row_norm(const RowNorm* p, int backward, void* stream) { return row_norm(*p, backward, stream); }

extern "C" int interbert_gelu(const Gelu* p, int backward, void* stream) {
  return p->bfloat16 ? gelu<BFloat16>(*p, backward, stream) : gelu<Float16>(*p, backward, stream);
}

extern "C" int interbert_row_loss(const RowLoss* p, int backward, void* stream) {
  return p->bfloat16 ? loss<BFloat16>(*p, backward, stream) : loss<Float16>(*p, backward, stream);
}

extern "C" int interbert_columns(const Columns* p, int, void* stream) {
  const int blocks = (p->columns + FINISH_COLUMNS - 1) / FINISH_COLUMNS;
  return p->bfloat16 ? launch<finish_columns<BFloat16>>(*p, blocks, FINISH_THREADS, FINISH_THREADS * 4, stream)
                     : launch<finish_columns<Float16>>(*p, blocks, FINISH_THREADS, FINISH_THREADS * 4, stream);
}

extern "C" const char* interbert_rows_error(int error) { return error_text(error); }
