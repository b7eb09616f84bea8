#include "kernels/product_reference.h"

#include "kernels/bfloat16.h"

namespace etrlrec {
namespace {

// What a product sees of x[row, k].
float left(const ProductOperands& p, Arithmetic arithmetic, int64_t row, int64_t k, float scale) {
  const int64_t i = row * p.x_stride + k;
  if (p.rounded_x != nullptr) return widened_bfloat16(p.rounded_x[i]);
  const float x = p.x[i] * scale;
  return arithmetic == Arithmetic::kBFloat16 ? widened_bfloat16(bfloat16_of(x)) : x;
}

// The stored value of w[o, k], without its scale.
float stored(const WeightRows& w, int64_t o, int64_t k) {
  return w.type == WeightType::kInt8
             ? static_cast<float>(static_cast<const int8_t*>(w.data)[o * w.in + k])
             : w.value(o, k);
}

void put(const ProductOperands& p, int64_t row, int64_t column, float sum) {
  const int64_t i = row * p.y_stride + column;
  if (p.accumulate) sum += p.y[i];
  if (p.rounded_y != nullptr) {
    p.rounded_y[i] = bfloat16_of(sum);
  } else {
    p.y[i] = sum;
  }
}

}  // namespace

void multiply_reference(const ProductOperands& p, Arithmetic arithmetic) {
  for (int64_t row = 0; row < p.rows; ++row) {
    int64_t column = 0;
    for (const WeightRows& w : p.weights) {
      for (int64_t o = 0; o < w.out; ++o) {
        float sum = 0;
        for (int64_t k = 0; k < w.in; ++k) sum += left(p, arithmetic, row, k, 1) * stored(w, o, k);
        if (w.scale != nullptr) sum *= w.scale[o];
        if (w.bias != nullptr) sum += w.bias[o];
        put(p, row, column + o, sum);
      }
      column += w.out;
    }
  }
}

void multiply_transposed_reference(const ProductOperands& p, Arithmetic arithmetic) {
  for (int64_t row = 0; row < p.rows; ++row) {
    for (int64_t k = 0; k < p.weights[0].in; ++k) {
      float sum = 0;
      int64_t column = 0;
      for (const WeightRows& w : p.weights) {
        for (int64_t o = 0; o < w.out; ++o)
          sum += left(p, arithmetic, row, column + o, w.scale == nullptr ? 1 : w.scale[o]) *
                 stored(w, o, k);
        column += w.out;
      }
      put(p, row, k, sum);
    }
  }
}

}  // namespace etrlrec
