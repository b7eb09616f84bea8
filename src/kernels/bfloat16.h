// Rounding of fp32 values to bfloat16 and back. With AVX512_BF16 sixteen values at once, where
// numbers below 1.2e-38 become 0; on other machines one by one.
#pragma once

#include <cstdint>

namespace etrlrec {

// Nearest bfloat16, ties to even; NaN stays NaN.
uint16_t bfloat16_of(float x);
float widened_bfloat16(uint16_t x);

// out[i] = bfloat16 of x[i], or of x[i] * scale[i]. `out` may lie at the same address as x.
void round_to_bfloat16(const float* x, int64_t count, uint16_t* out, const float* scale = nullptr);
void widen_bfloat16(const uint16_t* x, int64_t count, float* out);

// Values between rows of `columns` values as products read them: a pair is never cut.
constexpr int64_t padded_columns(int64_t columns) { return (columns + 1) / 2 * 2; }
// round_to_bfloat16() of every row, x_stride values apart, to rows padded_columns() apart; an odd
// row is followed by a 0.
void round_rows(const float* x, int64_t rows, int64_t x_stride, int64_t columns, uint16_t* out,
                const float* scale = nullptr);

}  // namespace etrlrec
