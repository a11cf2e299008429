// Each primitive by itself: a block that writes down what it got, for the caller to compare with what must come out.
//
// in: 32 x 32 elements of 16 bits in rows (for stages: more); out: words, as the names below say.
#include "octet_trials.h"
#include "primitives.h"
#include "group_trials.h"
#include "stage_trials.h"

namespace {

constexpr int ROW = 64;        // bytes
constexpr int IN_BYTES = 2048;  // of `in`, at the beginning of shared memory

struct Trial {
  const unsigned char* in;
  uint32_t* out;
};

DEVICE void put(uint32_t* out, int words_each, const uint32_t* words) {
  for (int i = 0; i < words_each; i++) out[thread() * words_each + i] = words[i];
}

DEVICE void fetch(const Trial& t, bool real) {
  for (int i = thread(); i < IN_BYTES / 16; i += 32) copy_async(16 * i, t.in + 16 * i, real || i % 2 == 0);
  wait_copies();
  sync_block();
}

KERNEL(32, 1) copies(Trial t) {
  fetch(t, false);
  for (int i = thread(); i < IN_BYTES / 16; i += 32) write_16(t.out + 4 * i, load_16(16 * i));
}

KERNEL(32, 1) matrices(Trial t) {
  fetch(t, true);
  uint32_t words[4];
  load_matrices(words, (thread() % 16) * ROW + thread() / 16 * 16);
  put(t.out, 4, words);
}

KERNEL(32, 1) transposed(Trial t) {
  fetch(t, true);
  uint32_t words[4];
  load_transposed(words, (thread() % 16) * ROW + thread() / 16 * 16);
  put(t.out, 4, words);
}

template <class T>
DEVICE void multiply_trial(const Trial& t) {
  fetch(t, true);
  uint32_t a[4], b[4];
  load_matrices(a, (thread() % 16) * ROW + thread() / 16 * 16);
  load_matrices(b, (16 + thread() / 16 * 8 + thread() % 8) * ROW + thread() / 8 % 2 * 16);
  float sum[4] = {0, 1, 2, 3};
  multiply<T>(sum, a, b[0], b[1]);
  for (int i = 0; i < 4; i++) t.out[thread() * 4 + i] = __builtin_bit_cast(uint32_t, sum[i]);
}

KERNEL(32, 1) multiply_float16(Trial t) { multiply_trial<Float16>(t); }
KERNEL(32, 1) multiply_bfloat16(Trial t) { multiply_trial<BFloat16>(t); }

KERNEL(64, 1) barriers_and_shuffles(Trial t) {
  store_4(4 * thread(), 100 + thread());
  sync_block();
  const uint32_t other = load_4(4 * (63 - thread()));
  sync_warp();
  t.out[2 * thread()] = other;
  t.out[2 * thread() + 1] = __builtin_bit_cast(uint32_t, shuffle_xor(static_cast<float>(thread()), 2));
}

template <class T>
DEVICE void round_trip(const Trial& t) {
  const float low = 1.0f / (thread() + 3), high = -1000.0f / (thread() + 7);
  float both[2];
  unpack<T>(both, pack<T>(low, high));
  t.out[4 * thread()] = pack<T>(low, high);
  t.out[4 * thread() + 1] = __builtin_bit_cast(uint32_t, both[0]);
  t.out[4 * thread() + 2] = __builtin_bit_cast(uint32_t, both[1]);
  t.out[4 * thread() + 3] = fresh(thread());
}

KERNEL(32, 1) round_float16(Trial t) { round_trip<Float16>(t); }
KERNEL(32, 1) round_bfloat16(Trial t) { round_trip<BFloat16>(t); }

KERNEL(32, 1) powers(Trial t) {
  t.out[2 * thread()] = __builtin_bit_cast(uint32_t, exp2_of(-0.75f * thread()));
  t.out[2 * thread() + 1] = __builtin_bit_cast(uint32_t, log2_of(1.0f + 3 * thread()));
}

}  // namespace

extern "C" int interbert_primitive(int number, const void* in, void* out, void* stream) {
  const Trial t = {static_cast<const unsigned char*>(in), static_cast<uint32_t*>(out)};
  StageTrial stages = {};
  stages.out = t.out;
  stages.counter = static_cast<int32_t*>(out) + UnitsShape::UNITS * UnitsShape::THREADS;
  switch (number) {
    case 0:
      return launch<copies>(t, 1, 32, IN_BYTES, stream);
    case 1:
      return launch<matrices>(t, 1, 32, IN_BYTES, stream);
    case 2:
      return launch<transposed>(t, 1, 32, IN_BYTES, stream);
    case 3:
      return launch<multiply_float16>(t, 1, 32, IN_BYTES, stream);
    case 4:
      return launch<multiply_bfloat16>(t, 1, 32, IN_BYTES, stream);
    case 5:
      return launch<barriers_and_shuffles>(t, 1, 64, IN_BYTES, stream);
    case 6:
      return launch<round_float16>(t, 1, 32, IN_BYTES, stream);
    case 7:
      return launch<round_bfloat16>(t, 1, 32, IN_BYTES, stream);
    case 8:
      return launch<powers>(t, 1, 32, IN_BYTES, stream);
    case 9:
      return try_bands<32>(stages, in, stream);
    case 10:
      return try_bands<64>(stages, in, stream);
    case 11:
      return try_bands<96>(stages, in, stream);
    case 12:
      return try_bands<128>(stages, in, stream);
    case 13:
      return try_units(stages, in, stream);
    case 14:
      return launch<phases>(stages, 1, 64, 32 + 128, stream);
    case 15:
      return try_octets<32>(in, out, stream);
    case 16:
      return try_octets<64>(in, out, stream);
    case 17:
      return try_octets<96>(in, out, stream);
    case 18:
      return try_octets<128>(in, out, stream);
    case 19:
      return launch<stored_transposed>(GroupTrial{t.in, t.out}, 1, 32, 512, stream);
    case 20:
      return launch<group_products<Float16, 8>>(GroupTrial{t.in, t.out}, 1, 128, 2 * 8192, stream);
    case 21:
      return launch<group_products<BFloat16, 8>>(GroupTrial{t.in, t.out}, 1, 128, 2 * 8192, stream);
    case 22:
      return launch<group_products<Float16, 4>>(GroupTrial{t.in, t.out}, 1, 128, 4096 + 8192, stream);
    case 23:
      return launch<group_products<BFloat16, 2>>(GroupTrial{t.in, t.out}, 1, 128, 2048 + 8192, stream);
    default:
      return -1;
  }
}
