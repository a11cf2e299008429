// The fused kernels of one head width against a reference in double precision, by the emulator; for sanitizers and for
// deliberately broken sources. Ends with 0 when all is well, says what is not otherwise.
//
//   check SCHEDULE SEED LENGTH...     SCHEDULE: 0 in order, 1 at random, 2 greedy
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "problem.h"

extern "C" int interbert_attention_forward(const Problem*, void*);
extern "C" int interbert_attention_backward(const Problem*, void*);
extern "C" void interbert_emulator_schedule(int kind, uint64_t seed);

namespace {

constexpr int HEADS = 2, TAIL = 3, CANARY = 32;
constexpr uint16_t POISON = 0xffff;
int failures = 0;

// Device memory: exactly as long as asked for, then bytes that nobody may touch.
struct Memory {
  std::vector<uint16_t> all;
  explicit Memory(size_t n) : all(n + CANARY, POISON) {}
  uint16_t* data() { return all.data(); }
  bool whole() const {
    return std::all_of(all.end() - CANARY, all.end(), [](uint16_t x) { return x == POISON; });
  }
};

uint8_t dropout_byte(uint64_t seed, uint64_t offset, int unit, int row, int column) {
  uint32_t c[4] = {uint32_t(unit), uint32_t(column / 32 << 16 | row / 16 << 5 | row % 8 << 2 | column % 8 / 2),
                   uint32_t(offset), uint32_t(offset >> 32)};
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 7; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t x = 0xD2511F53ull * c[0], y = 0xCD9E8D57ull * c[2];
    const uint32_t next[4] = {uint32_t(y >> 32) ^ c[1] ^ k0, uint32_t(y), uint32_t(x >> 32) ^ c[3] ^ k1, uint32_t(x)};
    memcpy(c, next, sizeof c);
  }
  return uint8_t(c[column % 32 / 8] >> (8 * (row % 16 / 8 * 2 + column % 2)));
}

using Numbers = std::vector<double>;

struct Case {
  std::vector<int> lengths;
  int threshold;
  bool bfloat16;
  double shift;  // added to queries and taken from keys: all scores far below zero

  std::vector<int32_t> offsets;
  Numbers qkv, grad, out, dqkv;
  int64_t rng[2] = {0x123456789abcdef, 77};

  int tokens() const { return offsets.back() + TAIL; }
  double& at(Numbers& x, int parts, int t, int part, int h, int i) const {
    return x[((size_t(t) * parts + part) * HEADS + h) * WIDTH + i];
  }
};

uint16_t bits(const Case& c, double x) { return c.bfloat16 ? bits_of(BFloat16{}, float(x)) : bits_of(Float16{}, float(x)); }
double value(const Case& c, uint16_t x) { return c.bfloat16 ? value_of(BFloat16{}, x) : value_of(Float16{}, x); }

void fill(Case& c, int seed) {
  c.offsets = {0};
  for (int length : c.lengths) c.offsets.push_back(c.offsets.back() + length);
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  const size_t n = size_t(c.tokens()) * HEADS * WIDTH;
  c.qkv.resize(3 * n), c.grad.resize(n), c.out.assign(n, 0), c.dqkv.assign(3 * n, 0);
  for (int t = 0; t < c.tokens(); t++)
    for (int part = 0; part < 3; part++)
      for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < WIDTH; i++) {
          const double moved = normal(engine) + (part == 0 ? c.shift : part == 1 ? -c.shift : 0);
          c.at(c.qkv, 3, t, part, h, i) = value(c, bits(c, moved));
        }
  for (double& x : c.grad) x = value(c, bits(c, normal(engine)));
}

void solve(Case& c) {
  const double scale = 1 / std::sqrt(double(WIDTH)), rescale = 256.0 / (256 - c.threshold);
  for (size_t s = 0; s < c.lengths.size(); s++)
    for (int h = 0; h < HEADS; h++) {
      const int start = c.offsets[s], length = c.lengths[s], unit = int(s) * HEADS + h;
      const auto row = [&](int part, int t) { return &c.at(c.qkv, 3, start + t, part, h, 0); };
      for (int q = 0; q < length; q++) {
        Numbers p(length), dp(length), factor(length);
        double top = -INFINITY, sum = 0, delta = 0;
        for (int k = 0; k < length; k++) {
          for (int i = 0; i < WIDTH; i++) p[k] += row(0, q)[i] * row(1, k)[i] * scale;
          top = std::max(top, p[k]);
        }
        for (double& x : p) sum += x = std::exp(x - top);
        const double* g = &c.at(c.grad, 1, start + q, 0, h, 0);
        for (int k = 0; k < length; k++) {
          p[k] /= sum;
          const bool kept = dropout_byte(c.rng[0], c.rng[1], unit, q, k) >= c.threshold;
          factor[k] = kept ? rescale : 0;
          for (int i = 0; i < WIDTH; i++) {
            c.at(c.out, 1, start + q, 0, h, i) += factor[k] * p[k] * row(2, k)[i];
            dp[k] += factor[k] * g[i] * row(2, k)[i];
          }
          delta += p[k] * dp[k];
        }
        for (int k = 0; k < length; k++)
          for (int i = 0; i < WIDTH; i++) {
            const double ds = p[k] * (dp[k] - delta) * scale;
            c.at(c.dqkv, 3, start + q, 0, h, i) += ds * row(1, k)[i];
            c.at(c.dqkv, 3, start + k, 1, h, i) += ds * row(0, q)[i];
            c.at(c.dqkv, 3, start + k, 2, h, i) += factor[k] * p[k] * g[i];
          }
      }
    }
}

void compare(const Case& c, const char* what, int parts, int part, const Numbers& expected, const Memory& got) {
  double worst = 0, largest = 0;
  bool poisoned = false;
  for (size_t i = 0; i < expected.size(); i++) {
    if (int(i / (HEADS * WIDTH) % parts) != part) continue;
    const double x = value(c, got.all[i]);
    if (std::isnan(x)) poisoned = true;
    worst = std::max(worst, std::abs(x - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
    if (i >= expected.size() - size_t(TAIL) * parts * HEADS * WIDTH && got.all[i] != 0) {
      printf("%s: a row behind the last sequence is not zero\n", what);
      failures++;
      return;
    }
  }
  const double bound = (c.bfloat16 ? 1.0 / 64 : 1.0 / 512) * std::max(largest, 1e-2);
  if (poisoned || worst > bound) {
    printf("%s, longest %d, %s, threshold %d: %s, worst error %g, bound %g\n", what,
           *std::max_element(c.lengths.begin(), c.lengths.end()), c.bfloat16 ? "bf16" : "fp16", c.threshold,
           poisoned ? "not all was written" : "wrong", worst, bound);
    failures++;
  }
}

void check(Case c, int seed) {
  fill(c, seed);
  solve(c);
  const size_t n = c.grad.size();
  Memory qkv(3 * n), grad(n), out(n), dqkv(3 * n), logsum(2 * size_t(HEADS) * c.tokens());
  for (size_t i = 0; i < 3 * n; i++) qkv.data()[i] = bits(c, c.qkv[i]);
  for (size_t i = 0; i < n; i++) grad.data()[i] = bits(c, c.grad[i]);
  // Rows that are nobody's follow those of the last sequence, and must not matter.
  std::fill(qkv.data() + 3 * n - size_t(TAIL) * 3 * HEADS * WIDTH, qkv.data() + 3 * n, POISON);
  std::fill(grad.data() + n - size_t(TAIL) * HEADS * WIDTH, grad.data() + n, POISON);
  std::vector<int32_t> order;
  for (size_t unit = 0; unit < c.lengths.size() * HEADS; unit++) order.push_back(int(unit));
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return c.lengths[a / HEADS] > c.lengths[b / HEADS]; });
  Problem p = {};
  p.qkv = reinterpret_cast<unsigned char*>(qkv.data());
  p.grad = reinterpret_cast<unsigned char*>(grad.data());
  p.out = reinterpret_cast<unsigned char*>(out.data());
  p.logsum = reinterpret_cast<float*>(logsum.data());
  p.offsets = c.offsets.data();
  p.order = order.data();
  p.rng = c.rng;
  p.tokens = c.tokens();
  p.sequences = int(c.lengths.size());
  p.heads = HEADS;
  p.longest = *std::max_element(c.lengths.begin(), c.lengths.end());
  p.threshold = c.threshold;
  p.bfloat16 = c.bfloat16;
  if (interbert_attention_forward(&p, nullptr)) printf("forward was refused\n"), failures++;
  p.out = reinterpret_cast<unsigned char*>(dqkv.data());
  if (interbert_attention_backward(&p, nullptr)) printf("backward was refused\n"), failures++;
  compare(c, "out", 1, 0, c.out, out);
  compare(c, "dQ", 3, 0, c.dqkv, dqkv);
  compare(c, "dK", 3, 1, c.dqkv, dqkv);
  compare(c, "dV", 3, 2, c.dqkv, dqkv);
  for (Memory* memory : {&qkv, &grad, &out, &dqkv, &logsum})
    if (!memory->whole()) printf("something was written beyond an end\n"), failures++;
}

}  // namespace

int main(int count, char** arguments) {
  const int seed = atoi(arguments[2]);
  std::vector<int> lengths;
  for (int i = 3; i < count; i++) lengths.push_back(atoi(arguments[i]));
  for (const bool bfloat16 : {true, false})
    for (const int threshold : {0, 64}) {
      interbert_emulator_schedule(atoi(arguments[1]), uint64_t(seed) * 4 + bfloat16 * 2 + (threshold > 0));
      check({lengths, threshold, bfloat16, 0}, seed);
    }
  check({lengths, 0, false, 4}, seed);
  printf("%d failures\n", failures);
  return failures > 0;
}
