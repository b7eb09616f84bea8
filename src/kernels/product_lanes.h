// Products of some ten to a hundred rows with bfloat16 weights (AVX512_BF16): lane i of a register
// holds row i of x and each pair of weights is broadcast, so neither are weights packed nor sums
// added across lanes. Weights are read in the order of memory.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/weight_rows.h"

namespace etrlrec {

// Rows of x as lanes, zeros beyond the last one.
struct LaneRows {
  std::vector<uint32_t> pairs;  // [depth][lanes] and room, each two neighbouring values of a row
  int64_t rows = 0, lanes = 0, depth = 0;
  int64_t vecs = 0;  // registers of lanes multiplied at once; lanes: a multiple of 16 vecs
};

// x [rows, stride], of which `values`, a multiple of 32, are rounded to bfloat16.
void transpose_rows(const float* x, int64_t rows, int64_t stride, int64_t values, LaneRows& out);
// y[r, o] = sum over the values of x for outputs [begin, end) of a bfloat16 weight, without its
// values beyond those of x and without its bias.
void dot_lanes(const LaneRows& x, const WeightRows& w, float* y, int64_t y_stride, int64_t begin,
               int64_t end);

}  // namespace etrlrec
