// Arrivals and copies in bulk on a GPU: mbarriers from sm_80 on, tensor copies from sm_90 on.
#pragma once

#include "device.h"

#if __CUDA_ARCH_LIST__ >= 900 && CUDART_VERSION >= 12000
#define INTERBERT_BULK 1
#include <cuda.h>
#include <cudaTypedefs.h>
#endif

#define GIVEN const __grid_constant__

#ifdef INTERBERT_BULK
constexpr bool BULK = true;
#else
constexpr bool BULK = false;
#endif

DEVICE void init_arrivals(Shared place, int count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" : : "r"(address(place)), "r"(count) : "memory");
}

DEVICE void arrive(Shared place) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" : : "r"(address(place)) : "memory");
}

DEVICE void arrive_copies(Shared place) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" : : "r"(address(place)) : "memory");
}

#ifdef INTERBERT_BULK
#define INTERBERT_TRY "mbarrier.try_wait.parity.shared::cta.b64"
#else
#define INTERBERT_TRY "mbarrier.test_wait.parity.shared.b64"
#endif

DEVICE void await(Shared place, int parity) {
  uint32_t complete;
  do {
    asm volatile("{ .reg .pred p; " INTERBERT_TRY " p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(complete)
                 : "r"(address(place)), "r"(parity)
                 : "memory");
  } while (!complete);
}

#undef INTERBERT_TRY

// What the host tells of rows of 16-bit elements, and the engine's own description of them.
struct Rows {
#ifdef INTERBERT_BULK
  CUtensorMap map;
#endif
  const unsigned char* memory;
  int64_t pitch;  // bytes from row to row
  int32_t count;
};

// And of rows that are queries, keys and values of heads.
struct Heads : Rows {};

#ifdef INTERBERT_BULK

DEVICE void fence_arrivals() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

DEVICE void fence_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

DEVICE void arrive_expecting(Shared place, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(address(place)), "r"(bytes)
               : "memory");
}

// As of another block's memory, which older toolkits only know, sm_120 would look first whose it is, with a call.
#if CUDART_VERSION >= 12080
#define INTERBERT_OWN "shared::cta"
#else
#define INTERBERT_OWN "shared::cluster"
#endif

template <int CHUNKS>
DEVICE void copy_band(Shared to, const Rows& from, int row, int column, Shared arrivals) {
  asm volatile("cp.async.bulk.tensor.2d." INTERBERT_OWN
               ".global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
               :
               : "r"(address(to)), "l"(&from.map), "r"(column), "r"(row), "r"(address(arrivals))
               : "memory");
}

template <int CHUNKS, int PANEL>
DEVICE void copy_heads(Shared to, const Heads& from, int row, int head, Shared arrivals) {
  asm volatile("cp.async.bulk.tensor.4d." INTERBERT_OWN
               ".global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %2}], [%5];"
               :
               : "r"(address(to)), "l"(&from.map), "r"(0), "r"(row), "r"(head * (CHUNKS / PANEL)),
                 "r"(address(arrivals))
               : "memory");
}

#undef INTERBERT_OWN

// The compiler knows that one lane goes on, and does without a loop over lanes around what only one can do.
DEVICE bool elect() {
  uint32_t me;
  asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }" : "=r"(me));
  return me;
}

DEVICE void prefetch(const Rows& rows) {
  if (rows.count) asm volatile("prefetch.tensormap [%0];" : : "l"(&rows.map) : "memory");
}

// The driver's function, through the runtime: nothing is linked to the driver.
inline PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  static const PFN_cuTensorMapEncodeTiled_v12000 found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
    const int error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
#else
    const int error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
    return taken(error) || result != cudaDriverEntryPointSuccess
               ? nullptr
               : reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  return found;
}

inline CUtensorMapSwizzle swizzle_of(int chunks) {
  return chunks == 8 ? CU_TENSOR_MAP_SWIZZLE_128B : chunks == 4 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_32B;
}

// Bands of panels of `chunks` * 8 elements. Some hundred nanoseconds on the host, nothing on the device.
inline int describe(Rows& rows, const void* memory, int32_t count, int64_t columns, int chunks) {
  rows.memory = static_cast<const unsigned char*>(memory), rows.pitch = 2 * columns, rows.count = count;
  if (count == 0) return 0;  // nothing will be copied
  if (!encoder()) return cudaErrorNotSupported;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(count)};
  const cuuint64_t pitch[1] = {static_cast<cuuint64_t>(2 * columns)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(8 * chunks), BAND}, steps[2] = {1, 1};
  const CUresult refused = encoder()(&rows.map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<void*>(memory), sizes,
                                     pitch, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(chunks),
                                     CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return refused ? cudaErrorInvalidValue : 0;
}

// 8 rows of the three parts of a head: of elements of a panel, rows, panels of all heads, parts.
inline int describe_heads(Heads& rows, const void* memory, int32_t count, int heads, int chunks,
                          int panel) {
  const int64_t part = int64_t{16} * heads * chunks;  // bytes
  rows.memory = static_cast<const unsigned char*>(memory), rows.pitch = 3 * part, rows.count = count;
  if (count == 0) return 0;
  if (!encoder()) return cudaErrorNotSupported;
  const cuuint32_t elements = 8 * panel, panels = chunks / panel;
  const cuuint64_t sizes[4] = {elements, static_cast<cuuint64_t>(count), static_cast<cuuint64_t>(heads) * panels, 3};
  const cuuint64_t pitch[3] = {static_cast<cuuint64_t>(3 * part), 2 * elements, static_cast<cuuint64_t>(part)};
  const cuuint32_t box[4] = {elements, OCTET_ROWS, panels, 3}, steps[4] = {1, 1, 1, 1};
  const CUresult refused = encoder()(&rows.map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 4, const_cast<void*>(memory), sizes,
                                     pitch, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(panel),
                                     CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return refused ? cudaErrorInvalidValue : 0;
}

#else

DEVICE bool elect() { return thread() % 32 == 0; }
DEVICE void fence_arrivals() {}
DEVICE void fence_copies() {}
DEVICE void prefetch(const Rows&) {}
DEVICE void arrive_expecting(Shared, uint32_t) { __trap(); }

template <int CHUNKS>
DEVICE void copy_band(Shared, const Rows&, int, int, Shared) {
  __trap();
}

template <int CHUNKS, int PANEL>
DEVICE void copy_heads(Shared, const Heads&, int, int, Shared) {
  __trap();
}

inline int describe_heads(Heads& rows, const void* memory, int32_t count, int heads, int chunks, int) {
  rows.memory = static_cast<const unsigned char*>(memory), rows.pitch = int64_t{48} * heads * chunks, rows.count = count;
  return 0;
}

inline int describe(Rows& rows, const void* memory, int32_t count, int64_t columns, int) {
  rows.memory = static_cast<const unsigned char*>(memory), rows.pitch = 2 * columns, rows.count = count;
  return 0;
}

#endif
