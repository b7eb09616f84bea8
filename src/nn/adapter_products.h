// The low-rank products of linear layers that read one input (LoRA; Hu et al. 2022), which are
// added to the product of their weights. All lora_A of the layers are one matrix [ranks, in].
#pragma once

#include <torch/types.h>

#include <vector>

#include "nn/linear_part.h"
#include "nn/numerics.h"

namespace etrlrec {

bool has_adapter(const std::vector<LinearPart>& parts);
// True if the products below round their operands to bfloat16 (sums fp32), and x is bfloat16 then:
// for many rows, where all weights use bfloat16 math (nn/weight.h).
bool adapters_use_bfloat16_math(int64_t rows, const std::vector<LinearPart>& parts,
                                const Numerics& numerics);

// out [T, sum of out] += lora_scale * lora_B lora_A x of every part in its columns. x: [T, in],
// fp32 or bfloat16 where
// adapters_use_bfloat16_math(). No gradient.
void add_adapters(at::Tensor out, const at::Tensor& x, const std::vector<LinearPart>& parts);

struct AdapterGradient {
  at::Tensor lora_A, lora_B;  // undefined for a part without adapter
};
// From g, the gradient of out in the type of x, and x, undefined where only the gradient of x is
// wanted: adds to x_gradient [T, in] unless that is undefined.
std::vector<AdapterGradient> adapter_gradients(const at::Tensor& x, const at::Tensor& g,
                                               const std::vector<LinearPart>& parts,
                                               at::Tensor x_gradient);

}  // namespace etrlrec
