// Products of few rows with bfloat16 or int8 weights in the order of memory, where the machine
// multiplies narrow values (AVX512_BF16, AVX512_VNNI).
#pragma once

#include <cstdint>

#include "kernels/weight_rows.h"

namespace etrlrec {

// With int8 weights x is rounded to integers of 14 bits with a factor for each row, and sums are
// exact.
struct NarrowRows {
  const uint16_t* x = nullptr;         // [rows, x_stride] bfloat16, or int16 in the same memory
  const float* x_scale = nullptr;      // [rows] of int16, else null
  int64_t rows = 0, x_stride = 0;      // x_stride: the summed values, a multiple of 32
  const WeightRows* weight = nullptr;  // bfloat16 or int8; values beyond x_stride are left out
  float* y = nullptr;
  int64_t y_stride = 0;
};
inline constexpr int64_t kMostIntegers = int64_t{1} << 15;  // of x_stride, or sums overflow
// Outputs [begin, end) of all rows, without bias.
void dot_narrow(const NarrowRows& rows, int64_t begin, int64_t end);
// count: a multiple of 16; returns the factor.
float round_to_integers(const float* x, int64_t count, int16_t* out);

}  // namespace etrlrec
