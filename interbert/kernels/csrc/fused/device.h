// The primitives on a GPU (sm_80 and later).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define DEVICE __device__ __forceinline__
// Whether registers were counted out for this machine: on another, as few as let several blocks in may be too few.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
constexpr bool COUNTED_OUT = true;
#else
constexpr bool COUNTED_OUT = false;
#endif

#define ANYWHERE __host__ __device__ constexpr

DEVICE int thread() { return threadIdx.x; }
DEVICE int block() { return blockIdx.x; }
DEVICE int blocks() { return gridDim.x; }

DEVICE uint32_t address(Shared place) {
  extern __shared__ __align__(1024) unsigned char memory[];
  return static_cast<uint32_t>(__cvta_generic_to_shared(memory)) + place;
}

DEVICE void sync_block() { __syncthreads(); }
DEVICE void sync_warp() { __syncwarp(); }
DEVICE void sync_part(int id, int threads) {
  asm volatile("bar.sync %0, %1;" : : "r"(id), "r"(threads) : "memory");
}
DEVICE int broadcast(int number, int lane = 0) { return __shfl_sync(0xffffffffu, number, lane); }
// By a reduction: its result is in a register that a warp has once, and so is what comes of it.
DEVICE int uniform(int number) { return __reduce_max_sync(0xffffffffu, number); }
DEVICE int draw(int32_t* counter) { return atomicAdd(counter, 1); }
DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }

DEVICE void load_matrices(uint32_t (&words)[4], Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(address(row))
               : "memory");
}

DEVICE void load_transposed(uint32_t (&words)[4], Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(address(row))
               : "memory");
}

template <class T>
DEVICE void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
DEVICE void multiply<Float16>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
DEVICE void multiply<BFloat16>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE void copy_async(Shared to, const void* from, bool real) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(address(to)), "l"(from), "r"(real ? 16 : 0)
               : "memory");
}

DEVICE void wait_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

DEVICE Words4 load_16(Shared from) {
  Words4 got;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(got.word[0]), "=r"(got.word[1]), "=r"(got.word[2]), "=r"(got.word[3])
               : "r"(address(from))
               : "memory");
  return got;
}

DEVICE uint32_t load_4(Shared from) {
  uint32_t got;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(got) : "r"(address(from)) : "memory");
  return got;
}

DEVICE void store_4(Shared to, uint32_t word) {
  asm volatile("st.shared.u32 [%0], %1;" : : "r"(address(to)), "r"(word) : "memory");
}

DEVICE void store_16(Shared to, Words4 words) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};"
               :
               : "r"(address(to)), "r"(words.word[0]), "r"(words.word[1]), "r"(words.word[2]), "r"(words.word[3])
               : "memory");
}

DEVICE void write_16(void* to, Words4 words) { *static_cast<Words4*>(to) = words; }

template <class T>
DEVICE uint32_t pack(float low, float high);

template <>
DEVICE uint32_t pack<Float16>(float low, float high) {
  __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&both);
}

template <>
DEVICE uint32_t pack<BFloat16>(float low, float high) {
  __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&both);
}

template <class T>
DEVICE void unpack(float (&both)[2], uint32_t word);

template <>
DEVICE void unpack<Float16>(float (&both)[2], uint32_t word) {
  const float2 two = __half22float2(*reinterpret_cast<__half2*>(&word));
  both[0] = two.x, both[1] = two.y;
}

template <>
DEVICE void unpack<BFloat16>(float (&both)[2], uint32_t word) {
  both[0] = __uint_as_float(word << 16), both[1] = __uint_as_float(word & 0xffff0000u);
}

template <class T>
DEVICE uint32_t without_negative(uint32_t word);

template <>
DEVICE uint32_t without_negative<Float16>(uint32_t word) {
  asm("fma.rn.relu.f16x2 %0, %0, %1, %2;" : "+r"(word) : "r"(0x3c003c00u), "r"(0x80008000u));
  return word;
}

template <>
DEVICE uint32_t without_negative<BFloat16>(uint32_t word) {
  asm("fma.rn.relu.bf16x2 %0, %0, %1, %2;" : "+r"(word) : "r"(0x3f803f80u), "r"(0x80008000u));
  return word;
}

DEVICE uint32_t fresh(uint32_t x) {
  asm volatile("" : "+r"(x));
  return x;
}


DEVICE uint32_t signs(uint32_t word, int half) { return __byte_perm(word, 0, half ? 0xbbaa : 0x9988); }

DEVICE float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

DEVICE float log2_of(float x) { return __log2f(x); }

DEVICE float inverse_of(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The error, and none left behind for whoever asks the runtime next.
inline int taken(int error) {
  if (error) cudaGetLastError();
  return error;
}

inline int clear_counter(int32_t* counter, void* stream) {
  return taken(cudaMemsetAsync(counter, 0, sizeof *counter, static_cast<cudaStream_t>(stream)));
}

// As many blocks as fit on the device at once, and no more than there is work for, but one; the error, 0 if none.
template <auto kernel, class Problem>
int launch(const Problem& problem, int most, int threads, int shared, void* stream) {
  static thread_local int known_device = -1, fitting = 0;
  int device;
  if (int error = taken(cudaGetDevice(&device))) return error;
  if (device != known_device) {
    const auto limit = cudaFuncAttributeMaxDynamicSharedMemorySize;
    int processors, each;
    if (int error = taken(cudaFuncSetAttribute(kernel, limit, shared))) return error;
    if (int error = taken(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, shared))) return error;
    if (int error = taken(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))) return error;
    fitting = each * processors;
    known_device = device;
  }
  if (fitting == 0) return cudaErrorLaunchOutOfResources;
  const int wanted = most < fitting ? most : fitting;
  kernel<<<wanted ? wanted : 1, threads, shared, static_cast<cudaStream_t>(stream)>>>(problem);
  return cudaGetLastError();
}

inline const char* error_text(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }
