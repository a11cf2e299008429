// What the library offers to its caller, in C: compiled for one head width and the longest lengths it supports.
//
// -DWIDTH=64 -DFORWARD=16,32,… -DBACKWARD=16,32,… : the buckets of lengths, ascending.
#include "backward.h"
#include "backward_group.h"
#include "forward.h"

#include <type_traits>

namespace {

constexpr int UNSUPPORTED = -1;

// A block each, or fewer if fewer are asked for.
int blocks_for(const Problem& problem, int units, int each) {
  const int all = (units + each - 1) / each;
  return problem.most_blocks && problem.most_blocks < all ? problem.most_blocks : all;
}

template <class T, int KEYS>
int forward(const Problem& problem, void* stream) {
  using Shape = ForwardShape<WIDTH, KEYS>;
  const int units = problem.sequences * problem.heads;
  GivenForward given = {problem, {}};
  if (int error = describe_heads(given.qkv, problem.qkv, problem.tokens, problem.heads, WIDTH / 8, panel_chunks(WIDTH / 8))) return error;
  return launch<attention_forward<T, WIDTH, KEYS>>(given, blocks_for(problem, units, 1), Shape::THREADS, Shape::SHARED,
                                                   stream);
}

// Where four warps multiply together, at the width that most models have; 64 rows at once are too many for few.
template <int D, int KEYS>
constexpr bool by_groups = WARPGROUPS && D == 64 && KEYS > 32;

template <int D, int KEYS>
using ChosenShape = std::conditional_t<by_groups<D, KEYS>, GroupShape<D, KEYS>, BackwardShape<D, KEYS>>;

template <class T, int KEYS>
constexpr auto backward_kernel() {
  if constexpr (by_groups<WIDTH, KEYS>)
    return attention_backward_group<T, WIDTH, KEYS>;
  else
    return attention_backward<T, WIDTH, KEYS>;
}

template <class T, int KEYS>
int backward(const Problem& problem, void* stream) {
  using Shape = ChosenShape<WIDTH, KEYS>;
  const int units = problem.sequences * problem.heads, panel = panel_chunks(WIDTH / 8);
  GivenBackward given = {problem, {}, {}};
  const int64_t columns = int64_t{problem.heads} * WIDTH;
  if (int error = describe(given.qkv, problem.qkv, problem.tokens, 3 * columns, panel)) return error;
  if (int error = describe(given.grad, problem.grad, problem.tokens, columns, panel)) return error;
  return launch<backward_kernel<T, KEYS>()>(given, blocks_for(problem, units, Shape::UNITS), Shape::THREADS,
                                                    Shape::SHARED, stream);
}

// The first bucket that is long enough.
template <class T, int... BUCKETS>
int forward_of(const Problem& problem, void* stream) {
  int result = UNSUPPORTED;
  (void)((problem.longest <= BUCKETS && (result = forward<T, BUCKETS>(problem, stream), true)) || ...);
  return result;
}

template <class T, int... BUCKETS>
int backward_of(const Problem& problem, void* stream) {
  int result = UNSUPPORTED;
  (void)((problem.longest <= BUCKETS && (result = backward<T, BUCKETS>(problem, stream), true)) || ...);
  return result;
}

template <template <int, int> class Shape, int... BUCKETS>
int shared_of(int longest) {
  int result = UNSUPPORTED;
  (void)((longest <= BUCKETS && (result = Shape<WIDTH, BUCKETS>::SHARED, true)) || ...);
  return result;
}

}  // namespace

extern "C" int interbert_attention_forward(const Problem* problem, void* stream) {
  return problem->bfloat16 ? forward_of<BFloat16, FORWARD>(*problem, stream)
                           : forward_of<Float16, FORWARD>(*problem, stream);
}

extern "C" int interbert_attention_backward(const Problem* problem, void* stream) {
  return problem->bfloat16 ? backward_of<BFloat16, BACKWARD>(*problem, stream)
                           : backward_of<Float16, BACKWARD>(*problem, stream);
}

extern "C" int interbert_attention_shared_bytes(int longest, int backward) {
  return backward ? shared_of<ChosenShape, BACKWARD>(longest) : shared_of<ForwardShape, FORWARD>(longest);
}

extern "C" const char* interbert_attention_error(int error) { return error_text(error); }
