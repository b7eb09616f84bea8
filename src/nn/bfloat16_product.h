// Products of many rows with frozen weights in bfloat16 arithmetic: both sides are rounded to
// bfloat16, every product is exact, sums are fp32 (VDPBF16PS of AVX512_BF16, two products a lane
// and instruction). int8 weights are exact in bfloat16; their scale multiplies the sums. Knows
// nothing about tensors.
#pragma once

#include <cstdint>

#include "nn/row_product.h"

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

// y[r, o] = sum over k of x[r, k] w[o, k] + bias[o], outputs of several weights side by side, as
// multiply_rows(); weights are bfloat16 or int8. Error (kUsage) without AVX512_BF16.
void multiply_bfloat16(const RowProduct& product);
// y[r, k] = sum over weights and o of x[r, o] w[o, k]: x has the outputs of all weights side by
// side, y [rows, in]; biases are ignored.
void multiply_transposed_bfloat16(const RowProduct& product);

// Error (kUsage) without AVX512_BF16, both.
void round_to_bfloat16(const float* x, int64_t count, uint16_t* out);
void widen_bfloat16(const uint16_t* x, int64_t count, float* out);
}  // namespace etrlrec
