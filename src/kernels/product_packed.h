// Products of many rows with bfloat16 or int8 weights in bfloat16 arithmetic: both sides are
// rounded to bfloat16, every product is exact, sums are fp32 (VDPBF16PS of AVX512_BF16, two
// products a lane and instruction). int8 weights are exact in bfloat16; their scale multiplies the
// sums.
#pragma once

#include "kernels/weight_rows.h"

namespace etrlrec {

// See ProductOperands. Error (kUsage) without AVX512_BF16, both.
void multiply_packed(const ProductOperands& p);
void multiply_transposed_packed(const ProductOperands& p);

}  // namespace etrlrec
