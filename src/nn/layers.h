// The building blocks of the language models, differentiable, fp32, on rows [T, C]. On the CPU each
// is one fused pass forward and one backward, and linear layers that read the same input are
// computed as one product; otherwise ATen's operations are taken (nn/numerics.h).
#pragma once

#include <torch/types.h>

#include <utility>
#include <vector>

#include "nn/linear_part.h"
#include "nn/numerics.h"

namespace etrlrec {

// x [T, in] -> [T, sum of out]: the outputs of all parts side by side. fp32 weights that lie one
// after the other in memory (see allocate_packed) are one product. No gradient is computed for
// frozen tensors.
at::Tensor linear(const at::Tensor& x, const std::vector<LinearPart>& parts,
                  const Numerics& numerics = {});
// The same into `out`, without gradient and dropout.
void linear_out(at::Tensor out, const at::Tensor& x, const std::vector<LinearPart>& parts,
                const Numerics& numerics = {});
// Uninitialised tensors of the given shapes (equal but for the first dimension), one after the
// other in memory.
std::vector<at::Tensor> allocate_packed(const std::vector<std::vector<int64_t>>& shapes,
                                        const Numerics& numerics = {});

// x / sqrt(mean of x² + eps) * weight (Zhang and Sennrich 2019); x [T, C], weight [C].
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                    const Numerics& numerics = {});
// {x + delta, rms_norm(x + delta)}
std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                               const at::Tensor& weight, double eps,
                                               const Numerics& numerics = {});
// gate_up [T, 2 I] -> silu(gate) * up [T, I]. With `compact` the backward pass keeps gate_up as
// bfloat16: half the memory of the widest activation, gradients rounded as in bfloat16 arithmetic;
// error (kUsage) where the machine has none. The plain way keeps fp32.
at::Tensor swiglu(const at::Tensor& gate_up, bool compact = false, const Numerics& numerics = {});

}  // namespace etrlrec
