// Row-wise passes of the models on raw pointers: RMSNorm, SwiGLU, softmax. Single-threaded; callers
// split the rows.
#pragma once

#include <cstdint>

namespace etrlrec {

// sum = x + delta (delta null: sum = x and is not written); out = sum / rms(sum) * weight. All
// [rows, C].
struct RmsNormRows {
  const float* x = nullptr;
  const float* delta = nullptr;
  const float* weight = nullptr;  // [C]
  float* sum = nullptr;
  float* out = nullptr;
  float* inverse_rms = nullptr;  // [rows]
  int64_t columns = 0;
  float eps = 0;
};
void rms_norm_rows(const RmsNormRows& p, int64_t begin, int64_t end);

struct RmsNormGradientRows {
  const float* sum = nullptr;
  const float* weight = nullptr;
  const float* inverse_rms = nullptr;
  const float* out_gradient = nullptr;
  const float* sum_gradient = nullptr;  // null: zero
  float* x_gradient = nullptr;          // written
  float* weight_gradient = nullptr;     // [C], added to; null: not wanted
  int64_t columns = 0;
};
void rms_norm_backward_rows(const RmsNormGradientRows& p, int64_t begin, int64_t end);

// gate_up [rows, 2 I] -> out [rows, I]: silu(gate) * up
void swiglu_rows(const float* gate_up, float* out, int64_t columns, int64_t begin, int64_t end);
void swiglu_backward_rows(const float* gate_up, const float* out_gradient, float* gradient,
                          int64_t columns, int64_t begin, int64_t end);

// x [rows, columns] becomes factor[row] * softmax(x); log-sum-exp and (unless null) entropy of
// every row are written.
struct SoftmaxRows {
  float* x = nullptr;
  int64_t rows = 0, columns = 0;
  float* logsumexp = nullptr;     // [rows]
  float* entropy = nullptr;       // [rows] or null
  const float* factor = nullptr;  // [rows]; null: x holds exp(x - maximum) afterwards
};
void softmax_rows(const SoftmaxRows& p);

}  // namespace etrlrec
