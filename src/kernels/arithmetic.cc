#include "kernels/arithmetic.h"

#include "base/check.h"
#include "kernels/simd.h"

namespace etrlrec {

bool supports_bfloat16() { return simd::cpu_isa() >= simd::Isa::kAvx512BFloat16; }

void check_bfloat16() {
  CHECK(supports_bfloat16(), kUsage,
        "bfloat16 arithmetic: expected a machine with AVX512_BF16 and AVX512_VNNI, found {}\n"
        "hint: --arithmetic float32, or auto",
        simd::name_of(simd::cpu_isa()));
}

Arithmetic best_arithmetic() {
  return supports_bfloat16() ? Arithmetic::kBFloat16 : Arithmetic::kFloat;
}

const char* name_of(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kReference) return "reference";
  return arithmetic == Arithmetic::kFloat ? "float32" : "bfloat16";
}

Arithmetic parse_arithmetic(const std::string& name) {
  if (name == "auto") return best_arithmetic();
  if (name == "reference") return Arithmetic::kReference;
  if (name == "float32") return Arithmetic::kFloat;
  CHECK(name == "bfloat16", kUsage,
        "arithmetic: expected auto, reference, float32 or bfloat16, found {}", name);
  check_bfloat16();
  return Arithmetic::kBFloat16;
}

}  // namespace etrlrec
