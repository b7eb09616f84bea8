// Products of some ten to a hundred rows with bfloat16 weights in the order of memory
// (AVX512_BF16): the rows of x are the lanes of a register and every pair of weights is multiplied
// with all of them at once, so neither are weights packed nor sums added across lanes. The inner
// part of multiply_rows() between a few rows and products that are worth packing. Knows nothing
// about tensors.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/row_product.h"

namespace etrlrec {

// Rows of x as lanes, zeros beyond the last one.
struct LaneRows {
  std::vector<uint32_t> pairs;  // [depth][lanes] and room, each two neighbouring values of a row
  int64_t rows = 0, lanes = 0, depth = 0;
  int64_t vecs = 0;  // registers of lanes that are multiplied at once; lanes: a multiple of 16 vecs
};

// True where so many rows fill enough of their lanes.
bool fills_lanes(int64_t rows);
// x [rows, stride], of which `values`, a multiple of 32, are rounded to bfloat16.
void transpose_rows(const float* x, int64_t rows, int64_t stride, int64_t values, LaneRows& out);
// y[r, o] = sum over the values of x for outputs [begin, end) of a bfloat16 weight, without its
// values beyond those of x and without its bias.
void dot_lanes(const LaneRows& x, const WeightRows& w, float* y, int64_t y_stride, int64_t begin,
               int64_t end);

}  // namespace etrlrec
