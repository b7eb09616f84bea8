#include "kernels/weight_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"

namespace etrlrec {

const char* name_of(WeightType type) {
  if (type == WeightType::kFloat) return "float32";
  return type == WeightType::kBFloat16 ? "bfloat16" : "int8";
}

void widen_rows(const WeightRows& weight, int64_t begin, int64_t end, float* out) {
  parallel_for(begin, end, 16, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      float* to = out + (row - begin) * weight.in;
      if (weight.type == WeightType::kFloat) {
        const auto* from = static_cast<const float*>(weight.data) + row * weight.in;
        std::copy(from, from + weight.in, to);
      } else if (weight.type == WeightType::kBFloat16) {
        const auto* from = static_cast<const uint16_t*>(weight.data) + row * weight.in;
        auto* bits = reinterpret_cast<uint32_t*>(to);
        for (int64_t k = 0; k < weight.in; ++k) bits[k] = uint32_t{from[k]} << 16;
      } else {
        const auto* from = static_cast<const int8_t*>(weight.data) + row * weight.in;
        const auto scale = weight.scale[row];
        for (int64_t k = 0; k < weight.in; ++k) to[k] = scale * from[k];
      }
    }
  });
}

void quantize_rows(const float* weight, int64_t rows, int64_t columns, int8_t* out, float* scale) {
  parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = weight + row * columns;
      int8_t* to = out + row * columns;
      float top = 0;
      for (int64_t k = 0; k < columns; ++k) top = std::max(top, std::fabs(from[k]));
      scale[row] = top / 127;
      const float inverse = top > 0 ? 127 / top : 0;
      for (int64_t k = 0; k < columns; ++k)
        to[k] = static_cast<int8_t>(std::lrintf(from[k] * inverse));
    }
  });
}

}  // namespace etrlrec
