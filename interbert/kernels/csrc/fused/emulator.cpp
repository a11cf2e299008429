#include "emulator.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "emulator_arrivals.h"

#if defined(EMULATOR_ASAN)
#include <sanitizer/common_interface_defs.h>
#elif defined(EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_ignore_thread_begin();
extern "C" void __tsan_ignore_thread_end();
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

namespace {

[[noreturn]] void fail(const char* what, int line);

// What the running fiber knows of itself.
struct Self {
  int thread, block, blocks;
  unsigned char* shared;
  uint32_t shared_bytes;
  int copies_started, copies_arrived;
} self;

constexpr int MOST_COPIES = 4096;
constexpr int LANES = 32, MOST_THREADS = 1024, WORDS = 128, MOST_PRODUCTS = 64;
#if defined(EMULATOR_ASAN) || defined(EMULATOR_TSAN)
constexpr size_t STACK = 512 * 1024;
#else
constexpr size_t STACK = 128 * 1024;
#endif
const char* const NAMES[] = {"block barrier", "warp barrier", "shuffle", "ldmatrix",
                             "ldmatrix transposed", "mma fp16", "mma bf16", "broadcast", "fence of copies",
                             "election", "barrier of a part", "arrivals",
                             "stmatrix transposed", "wgmma fp16", "wgmma bf16"};

// ---- fibers ---------------------------------------------------------------------------------------------------

#if defined(__x86_64__)
// Keeps the callee's registers on the old stack, and goes on where the new one left off.
extern "C" void emulator_switch(void** old_stack, void* new_stack);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size emulator_switch, .-emulator_switch
)");
using Context = void*;
#else
using Context = ucontext_t;
#endif

struct Fiber {
  Context context;
  unsigned char* stack = nullptr;
  void* sanitizer = nullptr;  // ASan: its fake stack; TSan: its fiber
  bool ready = false, done = true;
  Operation waits_for = SYNC_BLOCK;
  int line = 0;
  uint32_t place = 0;  // which arrivals, or which part's barrier
  Copy copies[MOST_COPIES];
  int copies_started = 0;
  uint32_t in[WORDS], out[WORDS];
  Product products[MOST_PRODUCTS];
  int product_count = 0, product_group = 0;
  bool products_open = false;
};

struct Warp {
  int arrived = 0;
  Operation operation = SYNC_BLOCK;
  int line = 0, number = 0;
  uint32_t ready = 0;
  char turns[2];  // addresses for the sanitizer's happens-before, used alternately
  int turn = 0;
};

struct PartBarrier {
  int arrived = 0, count = 0, line = 0;
  char turns[2];
  int turn = 0;
};

Fiber* fibers[MOST_THREADS];
PartBarrier parts[16];
Traffic traffic;
std::map<int32_t*, Deal> deals;
Warp warps[MOST_THREADS / LANES];
Fiber outside;  // the caller's stack
int running, threads, blocks_in_all, done, at_barrier, barrier_line;
char barrier_turns[2], block_begins, block_ends;
int barrier_turn;
void (*the_body)(const void*);
const void* the_problem;

// Which fiber is next: in order; at random; or the running warp as far as its barriers let it.
enum Schedule { IN_ORDER, RANDOM, GREEDY } schedule = IN_ORDER;
uint64_t random_state = 1;

uint32_t draw() {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return static_cast<uint32_t>(random_state >> 33);
}

// Which fiber's stack the sanitizer is told of before a switch, and after it.
void before_switch(Fiber& from, Fiber& to, const void* bottom, size_t size) {
#if defined(EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(&from.sanitizer, bottom, size);
#elif defined(EMULATOR_TSAN)
  __tsan_switch_to_fiber(to.sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
  (void)from, (void)to, (void)bottom, (void)size;
}

const void* outside_bottom;
size_t outside_size;

void after_switch(Fiber& me, bool first) {
#if defined(EMULATOR_ASAN)
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(first ? nullptr : me.sanitizer, &bottom, &size);
  if (outside_bottom == nullptr) outside_bottom = bottom, outside_size = size;
#endif
  (void)me, (void)first;
}

void switch_to(Fiber& from, Fiber& to) {
  const bool leaves = &to == &outside;
  before_switch(from, to, leaves ? outside_bottom : to.stack, leaves ? outside_size : STACK);
#if defined(__x86_64__)
  emulator_switch(&from.context, to.context);
#else
  swapcontext(&from.context, &to.context);
#endif
  after_switch(from, false);
}

// ---- who is next ----------------------------------------------------------------------------------------------

void set_ready(int thread, bool ready) {
  const uint32_t bit = 1u << thread % LANES;
  if (ready)
    warps[thread / LANES].ready |= bit;
  else
    warps[thread / LANES].ready &= ~bit;
}

int lane_from(uint32_t ready, int first) {
  const uint32_t turned = first ? ready >> first | ready << (LANES - first) : ready;
  return (__builtin_ctz(turned) + first) % LANES;
}

int next_ready() {
  const int all = threads / LANES, mine = running / LANES;
  if (schedule != RANDOM && warps[mine].ready) return mine * LANES + lane_from(warps[mine].ready, running % LANES);
  const int first = schedule == IN_ORDER ? mine + 1 : draw() % all;
  for (int i = 0; i < all; i++) {
    const int warp = (first + i) % all;
    if (warps[warp].ready)
      return warp * LANES + lane_from(warps[warp].ready, schedule == IN_ORDER ? 0 : draw() % LANES);
  }
  return -1;
}

[[noreturn]] void report_deadlock() {
  fprintf(stderr, "emulator: nobody can go on. Block %d:\n", self.block);
  for (int thread = 0; thread < threads; thread++) {
    const Fiber& fiber = *fibers[thread];
    if (fiber.done)
      fprintf(stderr, "  thread %d has ended\n", thread);
    else
      fprintf(stderr, "  thread %d waits at line %d (%s)\n", thread, fiber.line, NAMES[fiber.waits_for]);
  }
  abort();
}

void resume(int thread) {
  running = thread;
  self.thread = thread;
  self.copies_started = fibers[thread]->copies_started;
}

// What the emulator keeps for all fibers, and moves and frees in any of them, is no kernel's doing.
struct Unseen {
#if defined(EMULATOR_TSAN)
  Unseen() { __tsan_ignore_thread_begin(); }
  ~Unseen() { __tsan_ignore_thread_end(); }
#else
  Unseen() {}
#endif
};

void must(const char* wrong, int line) {
  if (wrong) fail(wrong, line);
}

// All that wait at this place for this.
void wake(Operation operation, uint32_t place) {
  for (int thread = 0; thread < threads; thread++) {
    const Fiber& fiber = *fibers[thread];
    if (!fiber.done && fiber.waits_for == operation && fiber.place == place) set_ready(thread, true);
  }
}

// One of the copies that are under way arrives.
void land(size_t number) {
  const Unseen unseen;
  uint32_t place;
  bool complete;
  must(traffic.land(number, &place, &complete), 0);
  if (complete) wake(AWAIT, place);
}

void land_some() {
  while (!traffic.flights.empty() && (schedule == IN_ORDER || (schedule == RANDOM && draw() % 4 == 0)))
    land(draw() % traffic.flights.size());
}

// The running fiber waits or has ended: another one runs, or, when all have ended, the caller.
void leave() {
  Fiber& me = *fibers[running];
  me.copies_started = self.copies_started;
  if (done == threads) {
    switch_to(me, outside);
    return;
  }
  land_some();
  int next = next_ready();
  while (next < 0 && !traffic.flights.empty()) {
    land(draw() % traffic.flights.size());
    next = next_ready();
  }
  if (next < 0) report_deadlock();
  const bool myself = next == running;
  resume(next);
  if (!myself) switch_to(me, *fibers[next]);
}

void release(char* turn) {
#if defined(EMULATOR_TSAN)
  __tsan_release(turn);
#endif
  (void)turn;
}

void acquire(char* turn) {
#if defined(EMULATOR_TSAN)
  __tsan_acquire(turn);
#endif
  (void)turn;
}

void live() {
  after_switch(*fibers[running], true);
  for (;;) {
    acquire(&block_begins);
    the_body(the_problem);
    release(&block_ends);
    Fiber& me = *fibers[running];
    if (me.product_count) fail("a product was started and never waited for", me.products[0].line);
    if (self.copies_started) fail("a copy was started and never waited for", 0);
    me.done = true;
    done++;
    set_ready(running, false);
    leave();
  }
}

void make_fiber(int thread) {
  if (fibers[thread]) return;
  Fiber* fiber = fibers[thread] = new Fiber;
  void* memory = mmap(nullptr, STACK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("no memory for a stack", 0);
  mprotect(memory, 4096, PROT_NONE);  // a guard below the stack
  fiber->stack = static_cast<unsigned char*>(memory) + 4096;
#if defined(EMULATOR_TSAN)
  fiber->sanitizer = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
  // Tops are staggered, or all fibers would use the same few sets of the cache.
  auto top = reinterpret_cast<uintptr_t>(fiber->stack + STACK - thread % 16 * 576) & ~uintptr_t{15};
  auto* words = reinterpret_cast<void**>(top);
  *--words = nullptr;  // where live() would return to: it never does
  *--words = reinterpret_cast<void*>(&live);
  words -= 6;
  memset(words, 0, 6 * sizeof(void*));
  fiber->context = words;
#else
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = STACK;
  makecontext(&fiber->context, live, 0);
#endif
}

// ---- where lanes meet -----------------------------------------------------------------------------------------

void wait_here(Operation operation, int line) {
  Fiber& me = *fibers[running];
  me.waits_for = operation, me.line = line;
  set_ready(running, false);
}

float half_of(uint16_t bits) {
  _Float16 half;
  memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

float bfloat_of(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float x;
  memcpy(&x, &word, 4);
  return x;
}

// mma m16n8k16: A 16 x 16 by rows, B 16 x 8 by columns, sums 16 x 8.
template <float (*value)(uint16_t)>
void multiply_all(Fiber** lanes) {
  float a[16][16], b[8][16];
  for (int lane = 0; lane < LANES; lane++) {
    const uint32_t* in = lanes[lane]->in;
    const int row = lane / 4, column = lane % 4 * 2;
    for (int i = 0; i < 2; i++) {
      const int shift = 16 * i;
      a[row][column + i] = value(in[0] >> shift);
      a[row + 8][column + i] = value(in[1] >> shift);
      a[row][column + 8 + i] = value(in[2] >> shift);
      a[row + 8][column + 8 + i] = value(in[3] >> shift);
      b[row][column + i] = value(in[4] >> shift);
      b[row][column + 8 + i] = value(in[5] >> shift);
    }
  }
  for (int lane = 0; lane < LANES; lane++) {
    float sums[4];
    memcpy(sums, lanes[lane]->in + 6, 16);
    for (int i = 0; i < 4; i++) {
      const float *left = a[lane / 4 + i / 2 * 8], *right = b[lane % 4 * 2 + i % 2];
      float sum = 0;
      for (int k = 0; k < 16; k++) sum += left[k] * right[k];
      sums[i] += sum;
    }
    memcpy(lanes[lane]->out, sums, 16);
  }
}

// Lane l gave row l % 8 of matrix l / 8; it gets two neighbours of row (transposed: of column) l / 4 of each.
void load_all(Fiber** lanes, bool transposed) {
  for (int lane = 0; lane < LANES; lane++)
    for (int matrix = 0; matrix < 4; matrix++) {
      uint16_t two[2];
      for (int i = 0; i < 2; i++) {
        const int far = lane / 4, near = lane % 4 * 2 + i;
        const int row = transposed ? near : far, column = transposed ? far : near;
        two[i] = static_cast<uint16_t>(lanes[8 * matrix + row]->in[column / 2] >> 16 * (column % 2));
      }
      lanes[lane]->out[matrix] = two[0] | static_cast<uint32_t>(two[1]) << 16;
    }
}

// Lane l holds two neighbours of row l / 4 of each matrix, and gets column l % 8 of matrix l / 8.
void turn_all(Fiber** lanes) {
  for (int lane = 0; lane < LANES; lane++)
    for (int row = 0; row < 8; row++) {
      const uint32_t word = lanes[4 * row + lane % 8 / 2]->in[lane / 8];
      const uint32_t half = word >> 16 * (lane % 2) & 0xffff;
      uint32_t& to = lanes[lane]->out[row / 2];
      to = row % 2 ? to | half << 16 : half;
    }
}

// A warp's part of a wgmma; see Product. Chunks of the right side are dealt out to lanes in turn.
template <float (*value)(uint16_t)>
void multiply_group(Fiber** lanes, int number) {
  const int columns = number & 255;
  const bool turned = number & 256, by_depth = number & 512;
  static float a[16][16], b[160][16];
  for (int lane = 0; lane < LANES; lane++) {
    const uint32_t* in = lanes[lane]->in;
    for (int i = 0; i < 8; i++) {
      const int far = lane / 2, near = lane % 2 * 8 + i;
      a[turned ? near : far][turned ? far : near] = value(in[i / 2] >> 16 * (i % 2));
    }
    for (int chunk = lane; chunk < 2 * columns; chunk += LANES)
      for (int i = 0; i < 8; i++) {
        const float x = value(in[4 + chunk / LANES * 4 + i / 2] >> 16 * (i % 2));
        if (by_depth)
          b[chunk % (columns / 8) * 8 + i][chunk / (columns / 8)] = x;
        else
          b[chunk / 2][chunk % 2 * 8 + i] = x;
      }
  }
  for (int lane = 0; lane < LANES; lane++) {
    float* sums = reinterpret_cast<float*>(lanes[lane]->out);
    memcpy(sums, lanes[lane]->in + 44, 2 * columns);
    for (int i = 0; i < columns / 2; i++) {
      const float *left = a[lane / 4 + i / 2 % 2 * 8], *right = b[i / 4 * 8 + lane % 4 * 2 + i % 2];
      float sum = 0;
      for (int k = 0; k < 16; k++) sum += left[k] * right[k];
      sums[i] += sum;
    }
  }
}

void operate(Warp& warp, Fiber** lanes) {
  switch (warp.operation) {
    case SHUFFLE:
      for (int lane = 0; lane < LANES; lane++) lanes[lane]->out[0] = lanes[lane ^ warp.number]->in[0];
      break;
    case BROADCAST:
      for (int lane = 0; lane < LANES; lane++) lanes[lane]->out[0] = lanes[warp.number]->in[0];
      break;
    case FENCE_COPIES:
      traffic.fenced(static_cast<int>(&warp - warps));
      break;
    case LOAD:
    case LOAD_TRANSPOSED:
      load_all(lanes, warp.operation == LOAD_TRANSPOSED);
      break;
    case MULTIPLY_FLOAT16:
      multiply_all<half_of>(lanes);
      break;
    case MULTIPLY_BFLOAT16:
      multiply_all<bfloat_of>(lanes);
      break;
    case STORE_TRANSPOSED:
      turn_all(lanes);
      break;
    case PRODUCT_FLOAT16:
      multiply_group<half_of>(lanes, warp.number);
      break;
    case PRODUCT_BFLOAT16:
      multiply_group<bfloat_of>(lanes, warp.number);
      break;
    default:
      break;
  }
}

void meet_warp(Operation operation, int line, int number) {
  const int warp_number = running / LANES;
  Warp& warp = warps[warp_number];
  if (warp.arrived == 0) {
    warp.operation = operation, warp.line = line, warp.number = number;
  } else if (warp.operation != operation || warp.line != line || warp.number != number) {
    fprintf(stderr, "emulator: lanes of warp %d met at line %d (%s) and line %d (%s)\n", warp_number, warp.line,
            NAMES[warp.operation], line, NAMES[operation]);
    abort();
  }
  // Only a barrier orders what lanes do to memory; the other operations just need them all.
  char* turn = &warp.turns[warp.turn];
  if (operation == SYNC_WARP) release(turn);
  wait_here(operation, line);
  if (++warp.arrived == LANES) {
    operate(warp, fibers + warp_number * LANES);
    warp.arrived = 0;
    if (operation == SYNC_WARP) warp.turn ^= 1;
    warp.ready = ~0u;
  }
  leave();
  if (operation == SYNC_WARP) acquire(turn);
}

void meet_block(int line) {
  if (at_barrier == 0) barrier_line = line;
  if (barrier_line != line) {
    fprintf(stderr, "emulator: threads met at the block barriers of lines %d and %d\n", barrier_line, line);
    abort();
  }
  char* turn = &barrier_turns[barrier_turn];
  release(turn);
  wait_here(SYNC_BLOCK, line);
  if (++at_barrier == threads) {
    at_barrier = 0;
    barrier_turn ^= 1;
    for (int warp = 0; warp < threads / LANES; warp++) warps[warp].ready = ~0u;
  }
  leave();
  acquire(turn);
}

void run_block(int block, int shared_bytes) {
  self.block = block;
  self.shared = static_cast<unsigned char*>(aligned_alloc(1024, (shared_bytes + 1023) / 1024 * 1024));
  self.shared_bytes = shared_bytes;
  memset(self.shared, 0xff, shared_bytes);
  traffic.begin(self.shared, static_cast<uint32_t>(shared_bytes), threads / LANES);
  for (auto& deal : deals) deal.second.begin_block(block, blocks_in_all);
  done = 0;
  for (int thread = 0; thread < threads; thread++) {
    Fiber& fiber = *fibers[thread];
    fiber.done = false, fiber.copies_started = 0;
    set_ready(thread, true);
  }
  const int first = schedule == IN_ORDER ? 0 : draw() % threads;
  resume(first);
  release(&block_begins);
  switch_to(outside, *fibers[first]);
  acquire(&block_ends);
  must(traffic.rest(), 0);
  free(self.shared);
}

void fail(const char* what, int line) {
  fprintf(stderr, "emulator: %s (line %d, thread %d of block %d)\n", what, line, self.thread, self.block);
  abort();
}

}  // namespace

int thread() { return self.thread; }
int block() { return self.block; }
int blocks() { return self.blocks; }

unsigned char* shared(uint32_t place, uint32_t bytes, int line) {
  if (place % bytes) fail("shared memory is not aligned for this access", line);
  if (place + bytes > self.shared_bytes) fail("beyond the end of shared memory", line);
  must(traffic.touch(place, running / LANES), line);
  return self.shared + place;
}

unsigned char* written(uint32_t place, uint32_t bytes, int line) {
  unsigned char* found = shared(place, bytes, line);
  traffic.write(place, running / LANES);
  return found;
}

const unsigned char* operand(uint32_t place, int line) {
  if (place % 16) fail("shared memory is not aligned for the matrix unit", line);
  if (place + 16 > self.shared_bytes) fail("beyond the end of shared memory", line);
  must(traffic.read_operand(place), line);
  return self.shared + place;
}

void open_products() { fibers[running]->products_open = true; }
void close_products() { fibers[running]->product_group++; }
bool reads_at_once() { return schedule == IN_ORDER || (schedule == RANDOM && draw() % 2); }

Product* new_product(const Product& product) {
  Fiber& me = *fibers[running];
  if (!me.products_open) fail("products are not opened since registers were used (open_products)", product.line);
  if (me.product_count == MOST_PRODUCTS) fail("too many products at once", product.line);
  Product& made = me.products[me.product_count];
  made = product;
  made.group = me.product_group, made.begins = true, made.read = false;
  for (int i = 0; i < me.product_count; i++)
    if (me.products[i].sum == product.sum) made.begins = false;
  me.product_count++;
  return &made;
}

Product* due_product(int open) {
  Fiber& me = *fibers[running];
  me.products_open = false;
  return me.product_count && me.products[0].group < me.product_group - open ? &me.products[0] : nullptr;
}

void take_product() {
  Fiber& me = *fibers[running];
  std::copy(me.products + 1, me.products + me.product_count, me.products);
  me.product_count--;
}

unsigned char* target(uint32_t place, uint32_t bytes, int line) {
  if (place + bytes > self.shared_bytes) fail("beyond the end of shared memory", line);
  must(traffic.overwrite(place, bytes), line);
  return self.shared + place;
}

unsigned char* arrivals_at(uint32_t place, int line) {
  if (place % 8) fail("arrivals are not aligned to 8 bytes", line);
  if (place + 8 > self.shared_bytes) fail("beyond the end of shared memory", line);
  return self.shared + place;
}

void init_arrivals(uint32_t place, int count, int line) {
  const Unseen unseen;
  must(traffic.init(place, count, running), line);
}

void fence_arrivals() { traffic.fence_arrivals(running); }

Arrivals& arrivals_of(uint32_t place, int line) {
  Arrivals* found;
  must(traffic.find(place, &found), line);
  return *found;
}

void arrive(uint32_t place, uint32_t bytes, int line) {
  Arrivals& at = arrivals_of(place, line);
  release(&at.turns[at.phase % 2]);
  at.bytes += bytes;
  at.pending--;
  bool complete;
  must(Traffic::settle(at, &complete), line);
  if (complete) wake(AWAIT, place);
}

void arrive_copies(uint32_t place, int line) {
  const Unseen unseen;
  Arrivals& at = arrivals_of(place, line);
  release(&at.turns[at.phase % 2]);
  Flight flight = {place, false, {}};
  for (Copy copy; next_copy(&copy);)
    flight.pieces.push_back({copy.to, copy.real ? static_cast<const unsigned char*>(copy.from) : nullptr});
  if (flight.pieces.empty()) return arrive(place, 0, line);
  traffic.start(std::move(flight));
}

// A phase that is over lets through at once whoever waits for it, and that is right until the next one has begun: then
// somebody has missed it, or waits with the wrong parity.
void await(uint32_t place, int parity, int line) {
  Arrivals& at = arrivals_of(place, line);
  const int phase = at.phase;
  if (phase % 2 != parity) {
    if (at.pending != at.count || at.bytes || at.flights) fail("waits for a phase that is over, in the next one", line);
  }
  while (at.phase == phase && phase % 2 == parity) {
    fibers[running]->place = place;
    wait_here(AWAIT, line);
    leave();
  }
  acquire(&at.turns[parity]);
}

void check_band(const Band& band, bool described_so, int line) {
  if (!described_so) fail("rows were not described for such a panel, or it goes beyond a row", line);
  if (band.to % (128 * band.chunks)) fail("a band is not aligned to eight of its rows", line);
  if (band.rows < 1) fail("a band that begins behind the last row", line);
}

void start_band(const Band& band, uint32_t place, int line) {
  const Unseen unseen;
  Arrivals& at = arrivals_of(place, line);
  release(&at.turns[at.phase % 2]);
  traffic.start({place, true, pieces_of(band)});
}

int draw_unit(int32_t* counter, int line) {
  const Unseen unseen;
  if (!deals.count(counter)) {
    if (*counter) fail("a counter was not cleared before the launch", line);
    deals[counter].begin_block(self.block, blocks_in_all);
  }
  static constexpr Deal::Manner MANNERS[] = {Deal::FIRST_TAKES_ALL, Deal::AT_RANDOM, Deal::IN_TURN};
  Deal& deal = deals[counter];
  const int number = deal.draw(MANNERS[schedule], draw);
  *counter = deal.drawn;
  return number;
}

void look(const void*) {}

void meet_part(int id, int count, int line) {
  if (id < 1 || id > 15) fail("barriers of parts have numbers from 1 to 15", line);
  if (count % LANES || count > threads) fail("a part of a block has whole warps of it", line);
  PartBarrier& part = parts[id];
  if (part.arrived == 0) part.line = line, part.count = count;
  if (part.line != line || part.count != count) fail("threads met at a part's barrier from different places", line);
  char* turn = &part.turns[part.turn];
  release(turn);
  fibers[running]->place = static_cast<uint32_t>(id);
  wait_here(SYNC_PART, line);
  if (++part.arrived == part.count) {
    part.arrived = 0;
    part.turn ^= 1;
    wake(SYNC_PART, static_cast<uint32_t>(id));
  }
  leave();
  acquire(turn);
}

void check_aligned(const void* global, int line) {
  if (reinterpret_cast<uintptr_t>(global) % 16) fail("global memory is not aligned to 16 bytes", line);
}

void start_copy(const Copy& copy, int line) {
  if (self.copies_started == MOST_COPIES) fail("too many copies at once", line);
  fibers[running]->copies[self.copies_started++] = copy;
}

bool next_copy(Copy* copy) {
  if (self.copies_arrived == self.copies_started) {
    self.copies_started = self.copies_arrived = 0;
    return false;
  }
  *copy = fibers[running]->copies[self.copies_arrived++];
  return true;
}

void meet(Operation operation, int line) {
  if (operation == SYNC_BLOCK)
    meet_block(line);
  else
    meet_warp(operation, line, 0);
}

void exchange(Operation operation, int line, const uint32_t* in, int in_words, uint32_t* out, int out_words,
              int number) {
  Fiber& me = *fibers[running];
  memcpy(me.in, in, 4 * in_words);
  meet_warp(operation, line, number);
  memcpy(out, me.out, 4 * out_words);
}

void run(void (*body)(const void*), const void* problem, int blocks, int count, int shared_bytes) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  if (count % LANES || count > MOST_THREADS) fail("a block needs whole warps, 1024 threads at most", 0);
  threads = count, blocks_in_all = blocks;
  deals.clear();
  for (PartBarrier& part : parts) part.arrived = 0;
  the_body = body, the_problem = problem;
  self.blocks = blocks;
  for (int thread = 0; thread < threads; thread++) make_fiber(thread);
#if defined(EMULATOR_TSAN)
  outside.sanitizer = __tsan_get_current_fiber();
#endif
  for (int block = 0; block < blocks; block++) run_block(block, shared_bytes);
}

}  // namespace emulator

// in order, at random, greedy: 0, 1, 2
extern "C" void interbert_emulator_schedule(int kind, uint64_t seed) {
  emulator::schedule = static_cast<emulator::Schedule>(kind);
  emulator::random_state = 2 * seed + 1;
}
