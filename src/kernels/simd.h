// Portable vectors of 16 floats for the hot loops, as vector types of g++ and clang: one register
// of 64 bytes, two of 32 or four of 16 (SSE2, NEON). A kernel is written once, as an always-inlined
// template over the register width, and instantiated in functions with a target attribute.
// cpu_isa() picks one of them when the program runs, so a generic build is fast on every machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/target.h"

namespace etrlrec::simd {

// In order: a machine that has one has all before it.
enum class Isa {
  kBase,            // what every machine of its kind has: SSE2 on x86-64, NEON on aarch64
  kAvx2,            // x86-64-v3
  kAvx512,          // x86-64-v4
  kAvx512BFloat16,  // and AVX512_BF16, AVX512_VNNI
};
bool is_supported(Isa isa);
Isa best_isa();  // of this machine
// The instruction set that all kernels use: best_isa() unless set.
Isa cpu_isa();
// Limits all kernels, for tests. Error (kUsage) when the machine has it not.
void set_isa(Isa isa);
const char* name_of(Isa isa);            // "base", "avx2", "avx512", "avx512_bf16"
Isa parse_isa(const std::string& name);  // error (kUsage) for other names

inline constexpr int64_t kLanes = 16;
inline constexpr int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

template <int Bytes>
struct Native;
template <>
struct Native<16> {
  using F = float __attribute__((vector_size(16)));
  using I = int32_t __attribute__((vector_size(16)));
};
template <>
struct Native<32> {
  using F = float __attribute__((vector_size(32)));
  using I = int32_t __attribute__((vector_size(32)));
};
template <>
struct Native<64> {
  using F = float __attribute__((vector_size(64)));
  using I = int32_t __attribute__((vector_size(64)));
};

// Bytes: width of a native register.
template <int Bytes>
struct Vec {
  using F = typename Native<Bytes>::F;
  using I = typename Native<Bytes>::I;
  static constexpr int kParts = 64 / Bytes;
  static constexpr int kWidth = Bytes / 4;
  F part[kParts];
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"

template <int B>
[[gnu::always_inline]] inline void load(Vec<B>& r, const float* p) {
  for (int i = 0; i < Vec<B>::kParts; ++i) std::memcpy(&r.part[i], p + i * Vec<B>::kWidth, B);
}
template <int B>
[[gnu::always_inline]] inline void store(float* p, const Vec<B>& r) {
  for (int i = 0; i < Vec<B>::kParts; ++i) std::memcpy(p + i * Vec<B>::kWidth, &r.part[i], B);
}
// The first n < 16 floats; the other lanes are `fill`.
template <int B>
[[gnu::always_inline]] inline void load_first(Vec<B>& r, const float* p, int64_t n, float fill) {
  float lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = i < n ? p[i] : fill;
  load(r, lanes);
}
template <int B>
[[gnu::always_inline]] inline void store_first(float* p, const Vec<B>& r, int64_t n) {
  float lanes[kLanes];
  store(lanes, r);
  std::memcpy(p, lanes, static_cast<size_t>(n) * sizeof(float));
}
template <int B>
[[gnu::always_inline]] inline void fill(Vec<B>& r, float x) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] = typename Vec<B>::F{} + x;
}
template <int B>
[[gnu::always_inline]] inline void add(Vec<B>& r, const Vec<B>& a) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] += a.part[i];
}
template <int B>
[[gnu::always_inline]] inline void sub(Vec<B>& r, const Vec<B>& a) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] -= a.part[i];
}
template <int B>
[[gnu::always_inline]] inline void mul(Vec<B>& r, const Vec<B>& a) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] *= a.part[i];
}
template <int B>
[[gnu::always_inline]] inline void scale(Vec<B>& r, float a) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] *= a;
}
template <int B>
[[gnu::always_inline]] inline void shift(Vec<B>& r, float a) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] += a;
}
// r += a * b
template <int B>
[[gnu::always_inline]] inline void add_product(Vec<B>& r, const Vec<B>& a, const Vec<B>& b) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] += a.part[i] * b.part[i];
}
template <int B>
[[gnu::always_inline]] inline void add_product(Vec<B>& r, float a, const Vec<B>& b) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] += a * b.part[i];
}
template <int B>
[[gnu::always_inline]] inline void maximum(Vec<B>& r, const Vec<B>& a) {
  for (int i = 0; i < Vec<B>::kParts; ++i) {
    r.part[i] = a.part[i] > r.part[i] ? a.part[i] : r.part[i];
  }
}
// r = r + a, or the greater of both.
template <bool IsMax, typename F>
[[gnu::always_inline]] inline void combine(F& r, const F& a) {
  if constexpr (IsMax) {
    r = r > a ? r : a;
  } else {
    r += a;
  }
}
// Halves are combined until one lane is left, within registers.
template <bool IsMax, int B>
[[gnu::always_inline]] inline float across_lanes(const Vec<B>& r) {
  typename Vec<B>::F x = r.part[0];
  if constexpr (B == 64) {
    combine<IsMax>(
        x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    combine<IsMax>(
        x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    combine<IsMax>(
        x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    combine<IsMax>(
        x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  } else if constexpr (B == 32) {
    combine<IsMax>(x, r.part[1]);
    combine<IsMax>(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3));
    combine<IsMax>(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5));
    combine<IsMax>(x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6));
  } else {
    typename Vec<B>::F y = r.part[1];
    combine<IsMax>(x, r.part[2]);
    combine<IsMax>(y, r.part[3]);
    combine<IsMax>(x, y);
    combine<IsMax>(x, __builtin_shufflevector(x, x, 2, 3, 0, 1));
    combine<IsMax>(x, __builtin_shufflevector(x, x, 1, 0, 3, 2));
  }
  return x[0];
}
template <int B>
[[gnu::always_inline]] inline float sum(const Vec<B>& r) {
  return across_lanes<false>(r);
}
template <int B>
[[gnu::always_inline]] inline float max_lane(const Vec<B>& r) {
  return across_lanes<true>(r);
}

// e^x to 2e-7 relative for |x| <= 86.5; beyond, x is clamped (e^-86.5 is 3e-38).
template <int B>
[[gnu::always_inline]] inline void exponential(Vec<B>& r) {
  using F = typename Vec<B>::F;
  using I = typename Vec<B>::I;
  constexpr float kRound =
      12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  for (int i = 0; i < Vec<B>::kParts; ++i) {
    F x = r.part[i];
    x = x < -86.5f ? F{} - 86.5f : x;
    x = x > 86.5f ? F{} + 86.5f : x;
    const F shifted = x * 1.44269504f + kRound;
    const F n = shifted - kRound;
    const F t = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    F p = t * (1.0f / 720) + 1.0f / 120;
    p = p * t + 1.0f / 24;
    p = p * t + 1.0f / 6;
    p = p * t + 0.5f;
    p = p * t + 1.0f;
    p = p * t + 1.0f;
    r.part[i] = reinterpret_cast<F>(reinterpret_cast<I>(p) + (reinterpret_cast<I>(shifted) << 23));
  }
}
#pragma GCC diagnostic pop

// C [M, 16 * vecs] = or += A [M, K] B [K, 16 * vecs]. Element (m, k) of A is a[m * a_row + k *
// a_col]; vector n of row k of B starts at b + n * b_vec + k * b_row. Small operands that stay in
// cache; large products belong to LibTorch.
template <typename Element>
struct Product {
  int64_t rows, vecs, depth;
  const Element* a;
  int64_t a_row, a_col;
  const Element* b;
  int64_t b_vec, b_row;
  float* c;
  int64_t c_row;
  bool accumulate;
};
using Gemm = Product<float>;
template <int Bytes>
void gemm(const Gemm& g);
template <>
void gemm<16>(const Gemm& g);
#if ETRLREC_X86
template <>
void gemm<32>(const Gemm& g);
template <>
void gemm<64>(const Gemm& g);
#endif

// Defines NAME_best(PARAMETERS): the instance of the always-inlined template NAME_with<register
// bytes> for cpu_isa().
#if ETRLREC_X86
#define ETRLREC_SIMD_INSTANCES(NAME, PARAMETERS, ARGUMENTS)                          \
  void NAME##_base PARAMETERS { NAME##_with<16> ARGUMENTS; }                         \
  ETRLREC_TARGET_AVX2 void NAME##_avx2 PARAMETERS { NAME##_with<32> ARGUMENTS; }     \
  ETRLREC_TARGET_AVX512 void NAME##_avx512 PARAMETERS { NAME##_with<64> ARGUMENTS; } \
  void NAME##_best PARAMETERS {                                                      \
    if (simd::cpu_isa() >= simd::Isa::kAvx512) return NAME##_avx512 ARGUMENTS;       \
    if (simd::cpu_isa() == simd::Isa::kAvx2) return NAME##_avx2 ARGUMENTS;           \
    NAME##_base ARGUMENTS;                                                           \
  }
#else
#define ETRLREC_SIMD_INSTANCES(NAME, PARAMETERS, ARGUMENTS) \
  void NAME##_best PARAMETERS { NAME##_with<16> ARGUMENTS; }
#endif

}  // namespace etrlrec::simd
