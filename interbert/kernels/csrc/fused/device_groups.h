// Products of four warps together on a GPU: wgmma, which sm_90 alone has.
#pragma once

#include "device_bulk.h"

struct GroupPanel {
  Shared place;
  int chunks;

  DEVICE GroupPanel down(int bands) const { return {place + bands * (BAND * 16) * chunks, chunks}; }
};

#if __CUDA_ARCH_LIST__ == 900 && defined(INTERBERT_BULK)
constexpr bool WARPGROUPS = true;

DEVICE void store_transposed(Shared row, const uint32_t (&words)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};"
               :
               : "r"(address(row)), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

DEVICE void open_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void close_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// The compiler must not take sums for known before this.
template <int N>
DEVICE void known_from_here(float (&sum)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(sum[i]) : : "memory");
}

template <int OPEN, class... Sums>
DEVICE void await_products(Sums&... sums) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(OPEN) : "memory");
  (known_from_here(sums), ...);
}

// Where the matrix unit finds rows of `chunks` * 16 bytes, exchanged as the copy engine does it.
DEVICE uint64_t described(Shared place, int chunks) {
  const uint32_t eight_rows = 8 * chunks, exchanged = chunks == 8 ? 1 : chunks == 4 ? 2 : 3;
  return static_cast<uint64_t>(exchanged << 30 | eight_rows) << 32 | ((eight_rows << 16) + address(place) / 16);
}

#define INTERBERT_SUMS_OF(d, i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define INTERBERT_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define INTERBERT_SUMS_8(d) INTERBERT_SUMS_OF(d, 0)
#define INTERBERT_16 INTERBERT_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define INTERBERT_SUMS_16(d) INTERBERT_SUMS_8(d), INTERBERT_SUMS_OF(d, 8)
#define INTERBERT_24 INTERBERT_16 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define INTERBERT_SUMS_24(d) INTERBERT_SUMS_16(d), INTERBERT_SUMS_OF(d, 16)
#define INTERBERT_32 INTERBERT_24 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define INTERBERT_SUMS_32(d) INTERBERT_SUMS_24(d), INTERBERT_SUMS_OF(d, 24)
#define INTERBERT_40 INTERBERT_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define INTERBERT_SUMS_40(d) INTERBERT_SUMS_32(d), INTERBERT_SUMS_OF(d, 32)
#define INTERBERT_48 INTERBERT_40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define INTERBERT_SUMS_48(d) INTERBERT_SUMS_40(d), INTERBERT_SUMS_OF(d, 40)
#define INTERBERT_56 INTERBERT_48 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define INTERBERT_SUMS_56(d) INTERBERT_SUMS_48(d), INTERBERT_SUMS_OF(d, 48)
#define INTERBERT_64 INTERBERT_56 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define INTERBERT_SUMS_64(d) INTERBERT_SUMS_56(d), INTERBERT_SUMS_OF(d, 56)
#define INTERBERT_72 INTERBERT_64 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define INTERBERT_SUMS_72(d) INTERBERT_SUMS_64(d), INTERBERT_SUMS_OF(d, 64)
#define INTERBERT_80 INTERBERT_72 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define INTERBERT_SUMS_80(d) INTERBERT_SUMS_72(d), INTERBERT_SUMS_OF(d, 72)
#define INTERBERT_WGMMA(columns, kind, sums, adds, factors) \
  "{ .reg .pred p; setp.ne.b32 p, " adds ", 0; wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." kind "." kind \
  " {" sums "}, " factors "; }"

// Rows times rows; a panel, as it is or across, times columns.
template <int COLUMNS, class T>
struct GroupRows;
template <class T, bool ACROSS>
struct GroupColumns;

#define INTERBERT_ROWS(type, kind, columns, half, a, b, adds) \
  template <> \
  struct GroupRows<columns, type> { \
    static DEVICE void add(float (&d)[half], uint64_t left, uint64_t right, int more) { \
      asm volatile(INTERBERT_WGMMA(#columns, kind, INTERBERT_##half, adds, a ", " b ", p, 1, 1, 0, 0") \
                   : INTERBERT_SUMS_##half(d) \
                   : "l"(left), "l"(right), "r"(more)); \
    } \
  };
#define INTERBERT_COLUMNS(type, kind, across, turned) \
  template <> \
  struct GroupColumns<type, across> { \
    static DEVICE void add(float (&d)[32], uint64_t left, uint64_t right, int more) { \
      asm volatile(INTERBERT_WGMMA("64", kind, INTERBERT_32, "%34", "%32, %33, p, 1, 1, " turned ", 1") \
                   : INTERBERT_SUMS_32(d) \
                   : "l"(left), "l"(right), "r"(more)); \
    } \
  };
#define INTERBERT_PRODUCTS(type, kind) \
  INTERBERT_ROWS(type, kind, 16, 8, "%8", "%9", "%10") \
  INTERBERT_ROWS(type, kind, 32, 16, "%16", "%17", "%18") \
  INTERBERT_ROWS(type, kind, 48, 24, "%24", "%25", "%26") \
  INTERBERT_ROWS(type, kind, 64, 32, "%32", "%33", "%34") \
  INTERBERT_ROWS(type, kind, 96, 48, "%48", "%49", "%50") \
  INTERBERT_ROWS(type, kind, 128, 64, "%64", "%65", "%66") \
  INTERBERT_ROWS(type, kind, 144, 72, "%72", "%73", "%74") \
  INTERBERT_ROWS(type, kind, 160, 80, "%80", "%81", "%82") \
  INTERBERT_COLUMNS(type, kind, false, "0") \
  INTERBERT_COLUMNS(type, kind, true, "1")
INTERBERT_PRODUCTS(Float16, "f16")
INTERBERT_PRODUCTS(BFloat16, "bf16")

template <class T, int COLUMNS>
DEVICE void multiply_rows(float (&sum)[COLUMNS / 2], Shared rows, int, Shared others, int column, bool adds) {
  GroupRows<COLUMNS, T>::add(sum, described(rows, 8) + 2 * column, described(others, 8) + 2 * column, adds);
}

template <class T, bool ACROSS>
DEVICE void multiply_columns(float (&sum)[32], const GroupPanel& panel, int column, int, Shared rows, bool adds) {
  GroupColumns<T, ACROSS>::add(sum, described(panel.place, panel.chunks) + 2 * column, described(rows, 8), adds);
}
#else
constexpr bool WARPGROUPS = false;

DEVICE void open_products() {}
DEVICE void close_products() {}
DEVICE void store_transposed(Shared, const uint32_t (&)[4]) { __trap(); }

template <int, class... Sums>
DEVICE void await_products(Sums&...) {}

template <class, int COLUMNS>
DEVICE void multiply_rows(float (&)[COLUMNS / 2], Shared, int, Shared, int, bool) {
  __trap();
}

template <class, bool>
DEVICE void multiply_columns(float (&)[32], const GroupPanel&, int, int, Shared, bool) {
  __trap();
}
#endif
