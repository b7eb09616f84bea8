// Products of few rows with a weight matrix that is read once, in its own storage type: the
// arithmetic of decoding. fp32, bfloat16 (values widened exactly) or int8 with one scale per output
// (w = scale * q, |q| <= 127); sums in fp32. Nothing is packed or copied, so weights may be mapped
// from a file or change between calls. Large numbers of rows belong to LibTorch.
#pragma once

#include <cstdint>
#include <span>

namespace etrlrec {

enum class WeightType { kFloat, kBFloat16, kInt8 };

struct WeightRows {
  WeightType type = WeightType::kFloat;
  const void* data = nullptr;    // [out, in], rows behind each other
  const float* scale = nullptr;  // [out], int8 only
  const float* bias = nullptr;   // [out] or null
  int64_t out = 0, in = 0;
  int64_t row_bytes() const;
};

// y[r, o] = sum over k of x[r, k] w[o, k] + bias[o]; the outputs of several weights of one type and
// width lie side by side. x rows lie x_stride floats apart, y rows y_stride. All threads share the
// outputs unless inside a parallel region.
struct RowProduct {
  const float* x = nullptr;
  int64_t rows = 0, x_stride = 0;
  std::span<const WeightRows> weights;
  float* y = nullptr;
  int64_t y_stride = 0;
};
void multiply_rows(const RowProduct& p);

// Rows [begin, end) of a weight as fp32, [end - begin, in].
void widen_rows(const WeightRows& weight, int64_t begin, int64_t end, float* out);
// scale = max |w| / 127, q = round(w / scale); rows of zeros get scale 0.
void quantize_rows(const float* weight, int64_t rows, int64_t columns, int8_t* out, float* scale);

}  // namespace etrlrec
