// What the product with GELU offers to its caller, in C; only where four warps multiply together.
#include "gelu_product.h"

namespace {

constexpr int UNSUPPORTED = -1;

template <class T>
int start(const GivenGeluProduct& given, bool backward, void* stream) {
  using namespace gelu_product;
  const GeluProduct& p = given.problem;
  const int all = panels_of(p) * bands_of(p), most = all < p.most_blocks ? all : p.most_blocks;
  if constexpr (WARPGROUPS)
    return backward ? launch<gelu_product_rows<T, true>>(given, most, THREADS, SHARED, stream)
                    : launch<gelu_product_rows<T, false>>(given, most, THREADS, SHARED, stream);
  return UNSUPPORTED;
}

}  // namespace

extern "C" int interbert_gelu_product(const GeluProduct* p, int backward, void* stream) {
  using namespace gelu_product;
  if (p->width % COLUMNS || p->depth % TURN || p->depth > MOST_DEPTH || p->rows < 1) return UNSUPPORTED;
  GivenGeluProduct given = {*p, {}};
  if (int error = describe(given.x, p->x, p->rows, p->depth, STEP_CHUNKS)) return error;
  return p->bfloat16 ? start<BFloat16>(given, backward, stream) : start<Float16>(given, backward, stream);
}

extern "C" const char* interbert_rows_error(int error) { return error_text(error); }
