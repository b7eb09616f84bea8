#include "nn/frozen_arithmetic.h"

#include <atomic>

namespace etrlrec {
namespace {

std::atomic<Arithmetic>& chosen() {
  static std::atomic<Arithmetic> arithmetic{best_arithmetic()};
  return arithmetic;
}

}  // namespace

Arithmetic frozen_arithmetic() { return chosen(); }

void set_frozen_arithmetic(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kBFloat16) check_bfloat16();
  chosen() = arithmetic;
}

const char* frozen_arithmetic_name() { return name_of(frozen_arithmetic()); }

}  // namespace etrlrec
