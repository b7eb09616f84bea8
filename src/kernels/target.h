// What compilers and machines spell differently, so that kernels need no conditions of their own:
// functions for one instruction set of x86-64 and loops that must be unrolled.
//   ETRLREC_X86                      1 on x86-64; elsewhere only portable code is compiled
//   ETRLREC_TARGET_AVX2, _AVX512     attribute of a function: x86-64-v3, x86-64-v4 in 512-bit
//   registers ETRLREC_BFLOAT16_BEGIN, _END     around functions with intrinsics up to AVX512_BF16
//   and AVX512_VNNI ETRLREC_UNROLL(n)                before a loop whose rolled form keeps its sums
//   in memory
#pragma once

#if defined(__x86_64__)
#define ETRLREC_X86 1
#else
#define ETRLREC_X86 0
#endif

#define ETRLREC_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define ETRLREC_UNROLL(n) ETRLREC_PRAGMA(unroll(n))
#else
#define ETRLREC_UNROLL(n) ETRLREC_PRAGMA(GCC unroll n)
#endif

#if ETRLREC_X86
#include <immintrin.h>

#define ETRLREC_TARGET_AVX2 [[gnu::target("arch=x86-64-v3")]]
#if defined(__clang__)
#define ETRLREC_TARGET_AVX512 [[gnu::target("arch=x86-64-v4")]]
#define ETRLREC_BFLOAT16_BEGIN                                                                 \
  ETRLREC_PRAGMA(clang attribute push(                                                         \
      __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni,fma"))), \
      apply_to = function))
#define ETRLREC_BFLOAT16_END ETRLREC_PRAGMA(clang attribute pop)
#else
#define ETRLREC_TARGET_AVX512 [[gnu::target("arch=x86-64-v4,prefer-vector-width=512")]]
// The warnings are about g++ 12's own intrinsics (GCC PR 105593).
#define ETRLREC_BFLOAT16_BEGIN                                                           \
  ETRLREC_PRAGMA(GCC diagnostic push)                                                    \
  ETRLREC_PRAGMA(GCC diagnostic ignored "-Wuninitialized")                               \
  ETRLREC_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized")                         \
  ETRLREC_PRAGMA(GCC push_options)                                                       \
  ETRLREC_PRAGMA(GCC target("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512bf16", \
                            "avx512vnni", "fma", "prefer-vector-width=512"))
#define ETRLREC_BFLOAT16_END ETRLREC_PRAGMA(GCC pop_options) ETRLREC_PRAGMA(GCC diagnostic pop)
#endif
#endif
