// The arithmetic of products with frozen weights in this process.
#pragma once

#include "kernels/arithmetic.h"

namespace etrlrec {

Arithmetic frozen_arithmetic();                     // best_arithmetic() unless set
void set_frozen_arithmetic(Arithmetic arithmetic);  // error (kUsage) when not supported
const char* frozen_arithmetic_name();

}  // namespace etrlrec
