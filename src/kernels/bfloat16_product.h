// Products of many rows with frozen weights in bfloat16 arithmetic: both sides are rounded to
// bfloat16, every product is exact, sums are fp32 (VDPBF16PS of AVX512_BF16, two products a lane
// and instruction). int8 weights are exact in bfloat16; their scale multiplies the sums. Knows
// nothing about tensors.
#pragma once

#include <cstdint>

#include "kernels/row_product.h"

namespace etrlrec {

// What products with frozen weights round to: nothing, or bfloat16 where the machine multiplies it
// faster than fp32.
enum class Arithmetic { kFloat, kBFloat16 };
bool supports_bfloat16();                           // the machine has AVX512_BF16
Arithmetic frozen_arithmetic();                     // kBFloat16 where it is supported, unless set
const char* frozen_arithmetic_name();               // "float32" or "bfloat16"
void set_frozen_arithmetic(Arithmetic arithmetic);  // error (kUsage) when not supported

// Nearest bfloat16, ties to even; NaN stays NaN.
uint16_t bfloat16_of(float x);
float widened_bfloat16(uint16_t x);

// As RowProduct; weights are bfloat16 or int8. x and y are fp32 or, where the rounded pointer is
// set, bfloat16 themselves; strides count values.
struct BFloat16Product {
  const float* x = nullptr;
  const uint16_t* rounded_x = nullptr;  // a row of an odd number of values is followed by a 0
  int64_t rows = 0, x_stride = 0;
  std::span<const WeightRows> weights;
  float* y = nullptr;
  uint16_t* rounded_y = nullptr;
  int64_t y_stride = 0;
  bool accumulate = false;  // sums are added to y, which is fp32; forward beside bfloat16 weights
};
// y[r, o] = sum over k of x[r, k] w[o, k] + bias[o], outputs of several weights side by side.
// Error (kUsage) without AVX512_BF16.
void multiply_bfloat16(const BFloat16Product& product);
// y[r, k] = sum over weights and o of x[r, o] w[o, k]: x has the outputs of all weights side by
// side, y [rows, in]; biases are ignored. rounded_x beside int8 weights carries their scales
// already.
void multiply_transposed_bfloat16(const BFloat16Product& product);

// out = bfloat16 of x, or of x times scale. `out` may lie at the same address as x. Error (kUsage)
// without AVX512_BF16, both.
void round_to_bfloat16(const float* x, int64_t count, uint16_t* out, const float* scale = nullptr);
void widen_bfloat16(const uint16_t* x, int64_t count, float* out);
// Values between rows of `columns` values as products take them: a pair is never cut.
constexpr int64_t padded_columns(int64_t columns) { return (columns + 1) / 2 * 2; }
// round_to_bfloat16() of every row, x_stride values apart, to rows padded_columns() apart, an odd
// row followed by a 0.
void round_rows(const float* x, int64_t rows, int64_t x_stride, int64_t columns, uint16_t* out,
                const float* scale = nullptr);

}  // namespace etrlrec
