// Products of few rows with a weight matrix that is read once, in its own storage type: the
// arithmetic of decoding. Converts the rows to what the kernel reads, splits the outputs among
// threads and adds what does not fill a register.
#pragma once

#include "kernels/weight_rows.h"

namespace etrlrec {

enum class RowKernel {
  kVectors,  // kernels/product_vectors: every type and machine, fp32
  kNarrow,   // kernels/product_narrow: bfloat16 and int8 weights, AVX512_BF16 and AVX512_VNNI
  kLanes,    // kernels/product_lanes: bfloat16 weights, AVX512_BF16
};

// y = x W^T + bias, see ProductOperands; x and y fp32, weights of one type. All threads share the
// outputs unless inside a parallel region. Error (kUsage) for operands in bfloat16 and sums to add
// to.
void multiply_rows(const ProductOperands& p, RowKernel kernel);

}  // namespace etrlrec
