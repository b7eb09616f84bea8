// A weight matrix [out, in] in its own storage type, on raw pointers, and the operands of a product
// with it. Nothing is copied, so weights may be mapped from a file or change between calls.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/bfloat16.h"

namespace etrlrec {

enum class WeightType {
  kFloat,     // fp32
  kBFloat16,  // widened exactly
  kInt8,      // w = scale * q with one fp32 scale for each output, |q| <= 127
};
const char* name_of(WeightType type);  // "float32", "bfloat16", "int8"

struct WeightRows {
  WeightType type = WeightType::kFloat;
  const void* data = nullptr;    // [out, in], one row after the other
  const float* scale = nullptr;  // [out], int8 only
  const float* bias = nullptr;   // [out] or null
  int64_t out = 0, in = 0;
  int64_t row_bytes() const {
    return in * (type == WeightType::kFloat ? 4 : type == WeightType::kBFloat16 ? 2 : 1);
  }
  float value(int64_t row, int64_t column) const {  // widened
    const int64_t i = row * in + column;
    if (type == WeightType::kFloat) return static_cast<const float*>(data)[i];
    if (type == WeightType::kInt8) return scale[row] * static_cast<const int8_t*>(data)[i];
    return widened_bfloat16(static_cast<const uint16_t*>(data)[i]);
  }
};

// Rows [begin, end) of a weight as fp32, [end - begin, in].
void widen_rows(const WeightRows& weight, int64_t begin, int64_t end, float* out);
// scale = max |w| / 127, q = round(w / scale); rows of zeros get scale 0.
void quantize_rows(const float* weight, int64_t rows, int64_t columns, int8_t* out, float* scale);

// Operands of a product of rows of x with weights of one type and one `in`. Strides count values.
//   forward     x [rows, in], y [rows, sum of out]: y[r, o] = sum over k of x[r, k] w[o, k] +
//   bias[o];
//               the outputs of several weights lie side by side
//   transposed  x [rows, sum of out], y [rows, in]: y[r, k] = sum over all o of x[r, o] w[o, k];
//               biases are ignored
// x and y are fp32 or, where the rounded pointer is set instead, bfloat16; a row of rounded_x with
// an odd number of values is followed by a 0, and transposed it has the scales of int8 weights in
// it.
struct ProductOperands {
  const float* x = nullptr;
  const uint16_t* rounded_x = nullptr;
  int64_t rows = 0, x_stride = 0;
  std::span<const WeightRows> weights;
  float* y = nullptr;
  uint16_t* rounded_y = nullptr;
  int64_t y_stride = 0;
  bool accumulate = false;  // sums are added to y, which is fp32; forward: not with int8 weights
  bool is_rounded() const { return rounded_x != nullptr || rounded_y != nullptr; }
};

}  // namespace etrlrec
