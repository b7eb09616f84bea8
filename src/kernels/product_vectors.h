// Products of few rows with weights of every type in fp32, on the vectors of any machine
// (kernels/simd.h). The weights are read once, in the order of memory.
#pragma once

#include <vector>

#include "kernels/weight_rows.h"

namespace etrlrec {

// Rows of x and one weight.
struct VectorRows {
  const float* x = nullptr;  // fp32 weights: as it is; others: as split_groups() makes it
  int64_t rows = 0, x_stride = 0;
  const WeightRows* weight = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
};
// Sums over the whole groups of outputs [begin, end) of all rows, without bias.
void dot_vectors(const VectorRows& p, int64_t begin, int64_t end);

// Values of a row that fill whole groups of a cache line; the others are added one by one.
int64_t whole_groups(const WeightRows& weight);
// The whole groups of p.x in the order in which dot_vectors() reads them, in `memory`, rows
// whole_groups() apart.
const float* split_groups(const ProductOperands& p, std::vector<float>& memory);

}  // namespace etrlrec
