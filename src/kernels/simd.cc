// Choice of the instruction set and the small matrix product, one instance per register width.
#include "kernels/simd.h"

#include <atomic>

#include "base/check.h"

namespace etrlrec::simd {
namespace {

Isa detect() {
  if (is_supported(Isa::kAvx512)) return Isa::kAvx512;
  return is_supported(Isa::kAvx2) ? Isa::kAvx2 : Isa::kBase;
}

std::atomic<Isa>& chosen() {
  static std::atomic<Isa> isa{detect()};
  return isa;
}

// One register block: Rows x Vecs accumulators.
template <int B, int Rows, int Vecs>
[[gnu::always_inline]] inline void block(const Gemm& g, int64_t row, int64_t vec) {
  Vec<B> acc[Rows][Vecs];
  float* c = g.c + row * g.c_row + vec * kLanes;
  for (int m = 0; m < Rows; ++m) {
    for (int n = 0; n < Vecs; ++n) {
      if (g.accumulate) {
        load(acc[m][n], c + m * g.c_row + n * kLanes);
      } else {
        fill(acc[m][n], 0.0f);
      }
    }
  }
  const float* a = g.a + row * g.a_row;
  const float* b = g.b + vec * g.b_vec;
  for (int64_t k = 0; k < g.depth; ++k, a += g.a_col, b += g.b_row) {
    Vec<B> right[Vecs];
    for (int n = 0; n < Vecs; ++n) load(right[n], b + n * g.b_vec);
    for (int m = 0; m < Rows; ++m) {
      const float left = a[m * g.a_row];
      for (int n = 0; n < Vecs; ++n) add_product(acc[m][n], left, right[n]);
    }
  }
  for (int m = 0; m < Rows; ++m) {
    for (int n = 0; n < Vecs; ++n) store(c + m * g.c_row + n * kLanes, acc[m][n]);
  }
}

template <int B, int Rows, int Vecs>
[[gnu::always_inline]] inline void last_rows(const Gemm& g, int64_t row, int64_t vec) {
  if constexpr (Rows > 0) {
    if (g.rows - row == Rows) return block<B, Rows, Vecs>(g, row, vec);
    last_rows<B, Rows - 1, Vecs>(g, row, vec);
  }
}

template <int B, int Rows, int Vecs>
[[gnu::always_inline]] inline void panel(const Gemm& g, int64_t vec) {
  int64_t row = 0;
  for (; row + Rows <= g.rows; row += Rows) block<B, Rows, Vecs>(g, row, vec);
  last_rows<B, Rows - 1, Vecs>(g, row, vec);
}

}  // namespace

bool is_supported(Isa isa) {
  __builtin_cpu_init();
  if (isa == Isa::kAvx512) return __builtin_cpu_supports("x86-64-v4");
  return isa == Isa::kBase || __builtin_cpu_supports("x86-64-v3");
}

Isa cpu_isa() { return chosen().load(std::memory_order_relaxed); }

void set_isa(Isa isa) {
  CHECK(is_supported(isa), kUsage, "instruction set: expected one of this machine");
  chosen() = isa;
}

template <>
void gemm<16>(const Gemm& g) {
  for (int64_t vec = 0; vec < g.vecs; ++vec) panel<16, 3, 1>(g, vec);
}

template <>
[[gnu::target("arch=x86-64-v3")]] void gemm<32>(const Gemm& g) {
  for (int64_t vec = 0; vec < g.vecs; ++vec) panel<32, 6, 1>(g, vec);
}

template <>
[[gnu::target("arch=x86-64-v4,prefer-vector-width=512")]] void gemm<64>(const Gemm& g) {
  int64_t vec = 0;
  if (g.rows == 1) {  // one row: more columns at once hide the latency
    for (; vec + 8 <= g.vecs; vec += 8) block<64, 1, 8>(g, 0, vec);
  }
  for (; vec + 2 <= g.vecs; vec += 2) panel<64, 8, 2>(g, vec);
  if (vec < g.vecs) panel<64, 12, 1>(g, vec);
}

}  // namespace etrlrec::simd
