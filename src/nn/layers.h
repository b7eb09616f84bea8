// The building blocks of the language models, differentiable, fp32, on rows [T, C]. Each is one
// fused pass forward and one backward. Linear layers that read the same input are computed as one
// product.
#pragma once

#include <torch/types.h>

#include <string>
#include <utility>
#include <vector>

#include "nn/parameters.h"
#include "tuning/adapters.h"

namespace etrlrec {

// Tells the allocator to keep freed memory for the next step, since fresh pages cost more than the
// arithmetic of small models, and to take huge pages where the system gives them. Called by the
// language models when they are made; idempotent.
void keep_freed_memory();

// One linear layer with its adapter slot: weight x + bias + lora_scale * lora_B (lora_A
// dropout(x)).
struct LinearPart {
  at::Tensor weight;          // [out, in]
  at::Tensor bias;            // [out] or undefined
  at::Tensor lora_A, lora_B;  // [rank, in], [out, rank] or undefined; AdaLoRA: lora_A is E A
  double lora_scale = 0;
  DropoutMask lora_dropout = {};
};
// Looks up "<module>.weight", ".bias" and the adapter (tuning/adapters.h). Dropout of the adapter
// comes with the noise of the pass, every module with a mask of its own.
LinearPart linear_part(const ParameterMap& parameters, const std::string& module,
                       const AdapterPass& pass);
// The same with one scale for all modules; 0 ignores the adapter.
LinearPart linear_part(const ParameterMap& parameters, const std::string& module,
                       double lora_scale);

// x [T, in] -> [T, sum of out]: the outputs side by side. Weights may be stored as bfloat16 or int8
// (nn/weight.h), then they are frozen. fp32 weights that lie behind each other in memory (see
// allocate_packed) are one product. No gradient is computed for frozen tensors.
at::Tensor linear(const at::Tensor& x, const std::vector<LinearPart>& parts);
// The same into `out`, without gradient and dropout.
void linear_out(at::Tensor out, const at::Tensor& x, const std::vector<LinearPart>& parts);
// Uninitialised tensors of the given shapes (equal but for the first dimension), one behind the
// other in memory.
std::vector<at::Tensor> allocate_packed(const std::vector<std::vector<int64_t>>& shapes);

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
// {x + delta, rms_norm(x + delta)}
std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                               const at::Tensor& weight, double eps);
// gate_up [T, 2 I] -> silu(gate) * up [T, I]. With `compact` the backward pass keeps gate_up as
// bfloat16: half the memory of the widest activation, gradients rounded as in bfloat16 arithmetic.
at::Tensor swiglu(const at::Tensor& gate_up, bool compact = false);

}  // namespace etrlrec
