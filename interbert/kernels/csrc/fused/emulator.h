// A GPU's block on one CPU thread: each of its threads is a fiber, warps and blocks are where fibers meet.
//
// The kernels' own code runs in the fibers, as compiled by the host's compiler (and its sanitizers). What takes all
// lanes of a warp is done by the last lane to arrive. Shared memory is NaN when a block begins; an asynchronous copy
// destroys its target when it is started, and arrives only when it is waited for; at arrivals (see primitives.h), at
// any time up to the wait: at once, at random, or when nobody can go on without it, by the schedule.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

enum Operation {
  SYNC_BLOCK,
  SYNC_WARP,
  SHUFFLE,
  LOAD,
  LOAD_TRANSPOSED,
  MULTIPLY_FLOAT16,
  MULTIPLY_BFLOAT16,
  BROADCAST,
  FENCE_COPIES,
  ELECT,
  SYNC_PART,
  AWAIT,
  STORE_TRANSPOSED,
  PRODUCT_FLOAT16,
  PRODUCT_BFLOAT16
};

// A warp's part of a product of four: 16 rows, 16 deep, times `columns`. Chunks are 8 elements.
struct Product {
  Operation operation;
  float* sum;      // of the lane: 4 of each 8 columns
  int columns;
  bool adds, turned;   // turned: the left side is stored by depth
  bool by_depth;       // the right side is
  uint32_t left, right, right_band;
  int chunks, column, rows;  // of the left side's panel; from which 16 columns on; rows that are there, in bands
  int line, group;
  bool begins, read;   // the first on its sums that has not been awaited; its operands have been read
  float before[80];
  uint32_t words[44];  // what the lane has read: a chunk of the left side, then chunks of the right one
};

struct Copy {
  uint32_t to;
  const void* from;
  bool real;
};

// Rows of a panel, of which `rows` are there.
struct Band {
  uint32_t to;
  int height, chunks, rows;
  const unsigned char* from;
  int64_t pitch;
};

// These are functions, and not compiled with the kernels, so that a sanitizer sees what kernels do, not how.
int thread();
int block();
int blocks();
// A checked pointer: aligned to `bytes`, within the block's shared memory.
unsigned char* shared(uint32_t place, uint32_t bytes, int line);
void start_copy(const Copy& copy, int line);
// The next copy of this thread that was started and has not arrived; false when there is none.
bool next_copy(Copy* copy);
void check_aligned(const void* global, int line);
// As shared(), for writing.
unsigned char* written(uint32_t place, uint32_t bytes, int line);
// 16 bytes that the matrix unit reads by itself.
const unsigned char* operand(uint32_t place, int line);
void open_products();
void close_products();
// Whether the matrix unit reads at once; otherwise when it is waited for.
bool reads_at_once();
Product* new_product(const Product& product);
// The next one of those to be waited for, while `open` groups may go on; null: none. Then take_product().
Product* due_product(int open);
void take_product();

void meet(Operation operation, int line);
void meet_part(int id, int count, int line);

unsigned char* arrivals_at(uint32_t place, int line);
void init_arrivals(uint32_t place, int count, int line);
void fence_arrivals();
void arrive(uint32_t place, uint32_t bytes, int line);
// With the copies that this thread has started.
void arrive_copies(uint32_t place, int line);
void await(uint32_t place, int parity, int line);

void check_band(const Band& band, bool described_so, int line);
// Where a copy in bulk may write.
unsigned char* target(uint32_t place, uint32_t bytes, int line);
void start_band(const Band& band, uint32_t arrivals, int line);
int draw_unit(int32_t* counter, int line);
// For what is read so that a sanitizer sees it, and for nothing else.
void look(const void* seen);

// Words in, words out, of all 32 lanes of the warp; `number` is the operation's own.
void exchange(Operation operation, int line, const uint32_t* in, int in_words, uint32_t* out, int out_words,
              int number);

// Runs body(problem) as every thread of every block.
void run(void (*body)(const void*), const void* problem, int blocks, int threads, int shared_bytes);

}  // namespace emulator
