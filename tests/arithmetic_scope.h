// Arithmetic of frozen weights while it lives.
#pragma once

#include "nn/frozen_arithmetic.h"

namespace etrlrec {

class ArithmeticScope {
 public:
  explicit ArithmeticScope(Arithmetic arithmetic) : before_(frozen_arithmetic()) {
    set_frozen_arithmetic(arithmetic);
  }
  ArithmeticScope(const ArithmeticScope&) = delete;
  ~ArithmeticScope() { set_frozen_arithmetic(before_); }

 private:
  Arithmetic before_;
};

}  // namespace etrlrec
