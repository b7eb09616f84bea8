// Choice of the instruction set and the small matrix product, one instance per register width.
#include "kernels/simd.h"

#include <array>
#include <atomic>

#include "base/check.h"

namespace etrlrec::simd {
namespace {

struct NamedIsa {
  Isa isa;
  const char* name;
};
constexpr std::array kNames{NamedIsa{Isa::kBase, "base"}, NamedIsa{Isa::kAvx2, "avx2"},
                            NamedIsa{Isa::kAvx512, "avx512"},
                            NamedIsa{Isa::kAvx512BFloat16, "avx512_bf16"}};

std::atomic<Isa>& chosen() {
  static std::atomic<Isa> isa{best_isa()};
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
  if (isa == Isa::kBase) return true;
#if ETRLREC_X86
  __builtin_cpu_init();
#if defined(__clang__)  // knows no levels
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
#else
  const bool v3 = __builtin_cpu_supports("x86-64-v3");
  const bool v4 = __builtin_cpu_supports("x86-64-v4");
#endif
  if (isa == Isa::kAvx2) return v3;
  if (isa == Isa::kAvx512) return v4;
  return v4 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

Isa best_isa() {
  Isa best = Isa::kBase;
  for (const NamedIsa& row : kNames)
    if (is_supported(row.isa)) best = row.isa;
  return best;
}

Isa cpu_isa() { return chosen().load(std::memory_order_relaxed); }

void set_isa(Isa isa) {
  CHECK(is_supported(isa), kUsage, "instruction set: expected one of this machine, found {}",
        name_of(isa));
  chosen() = isa;
}

const char* name_of(Isa isa) { return kNames[static_cast<size_t>(isa)].name; }

Isa parse_isa(const std::string& name) {
  for (const NamedIsa& row : kNames)
    if (name == row.name) return row.isa;
  fail(ExitCode::kUsage, "instruction set: expected base, avx2, avx512 or avx512_bf16, found {}",
       name);
}

template <>
void gemm<16>(const Gemm& g) {
  for (int64_t vec = 0; vec < g.vecs; ++vec) panel<16, 3, 1>(g, vec);
}

#if ETRLREC_X86
template <>
ETRLREC_TARGET_AVX2 void gemm<32>(const Gemm& g) {
  for (int64_t vec = 0; vec < g.vecs; ++vec) panel<32, 6, 1>(g, vec);
}

template <>
ETRLREC_TARGET_AVX512 void gemm<64>(const Gemm& g) {
  int64_t vec = 0;
  if (g.rows == 1) {  // one row: more columns at once hide the latency
    for (; vec + 8 <= g.vecs; vec += 8) block<64, 1, 8>(g, 0, vec);
  }
  for (; vec + 2 <= g.vecs; vec += 2) panel<64, 8, 2>(g, vec);
  if (vec < g.vecs) panel<64, 12, 1>(g, vec);
}
#endif

}  // namespace etrlrec::simd
