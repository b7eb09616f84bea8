#include "nn/rotary.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace etrlrec {
namespace {

double rotary_frequency(double exponent, const RopeConfig& rope) {
  const double plain = std::pow(rope.theta, -exponent);
  if (rope.type == "default") return plain;
  if (rope.type == "linear") return plain / rope.factor;
  CHECK(rope.type == "llama3", kModel,
        "rotary embedding: expected type default, linear or llama3, found \"{}\"", rope.type);
  // Share of the plain frequency: 0 for slow ones, 1 for fast ones.
  const double periods =
      static_cast<double>(rope.original_max_position_embeddings) * plain / (2 * std::numbers::pi);
  const double share = std::clamp(
      (periods - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
  return (1 - share) * plain / rope.factor + share * plain;
}

}  // namespace

RotaryTable rotary_table(int64_t positions, int64_t head_dim, const RopeConfig& rope) {
  CHECK(head_dim % 2 == 0, kModel, "rotary embedding: expected an even head size, found {}",
        head_dim);
  const int64_t half = head_dim / 2;
  RotaryTable table{at::empty({positions, half}, at::kFloat),
                    at::empty({positions, half}, at::kFloat)};
  float* cos = table.cos.data_ptr<float>();
  float* sin = table.sin.data_ptr<float>();
  for (int64_t d = 0; d < half; ++d) {
    const auto frequency = static_cast<float>(
        rotary_frequency(static_cast<double>(2 * d) / static_cast<double>(head_dim), rope));
    for (int64_t p = 0; p < positions; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      cos[p * half + d] = std::cos(angle);
      sin[p * half + d] = std::sin(angle);
    }
  }
  return table;
}

namespace plain {

at::Tensor rotated(const at::Tensor& x, const RotaryTable& table, const at::Tensor& positions) {
  if (!table.cos.defined()) return x;
  const auto angles = [&](const at::Tensor& values) {  // [T, 1, D / 2]
    return values.to(x.device()).index_select(0, positions).unsqueeze(1);
  };
  const at::Tensor cos = angles(table.cos), sin = angles(table.sin);
  const std::vector<at::Tensor> halves = x.chunk(2, 2);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, 2);
}

}  // namespace plain

}  // namespace etrlrec
