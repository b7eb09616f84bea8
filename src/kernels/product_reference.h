// Products with stored weights as plain loops: the twin of every other kernel in tests, and what
// runs where no other one may. Sums are fp32 in the order of the values; no thread but the
// caller's.
#pragma once

#include "kernels/arithmetic.h"
#include "kernels/weight_rows.h"

namespace etrlrec {

// Both ways of ProductOperands. kBFloat16: fp32 x is rounded to bfloat16 first (transposed: after
// it was multiplied by the scales of int8 weights); otherwise x is taken as it is.
void multiply_reference(const ProductOperands& p, Arithmetic arithmetic);
void multiply_transposed_reference(const ProductOperands& p, Arithmetic arithmetic);

}  // namespace etrlrec
