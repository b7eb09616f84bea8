// Instruction sets in tests.
#pragma once

#include <vector>

#include "kernels/simd.h"

namespace etrlrec {

// The instruction set of all kernels while it lives.
class IsaScope {
 public:
  explicit IsaScope(simd::Isa isa) : before_(simd::cpu_isa()) { simd::set_isa(isa); }
  IsaScope(const IsaScope&) = delete;
  ~IsaScope() { simd::set_isa(before_); }

 private:
  simd::Isa before_;
};

// Those up to the one in use, which --isa of the test programs may limit.
inline std::vector<simd::Isa> instruction_sets() {
  std::vector<simd::Isa> out;
  for (simd::Isa isa :
       {simd::Isa::kBase, simd::Isa::kAvx2, simd::Isa::kAvx512, simd::Isa::kAvx512BFloat16})
    if (isa <= simd::cpu_isa() && simd::is_supported(isa)) out.push_back(isa);
  return out;
}

}  // namespace etrlrec
