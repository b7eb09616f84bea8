// Fused, differentiable pieces of SASRec: embedding lookup with dropout, and dropout before a
// residual sum. Masks are not stored: an element is dropped when a hash of (seed, its index) falls
// below the rate, so that the backward pass repeats them and the result depends on neither threads
// nor order.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace etrlrec {

// Kept values are multiplied by 1 / (1 - rate). rate = 0: nothing is dropped and the seed is
// ignored.
struct DropoutMask {
  double rate = 0;
  uint64_t seed = 0;
};

// dropout(scale * item_weight[items] + position_weight[positions]); items, positions int32 [T] ->
// [T, C].
at::Tensor embed_items(const at::Tensor& item_weight, const at::Tensor& position_weight,
                       const at::Tensor& items, const at::Tensor& positions, double scale,
                       const DropoutMask& mask);

// dropout(values), same shape; fp32 contiguous.
at::Tensor masked_dropout(const at::Tensor& values, const DropoutMask& mask);

// residual + dropout(values), same shapes; fp32 contiguous.
at::Tensor residual_dropout(const at::Tensor& residual, const at::Tensor& values,
                            const DropoutMask& mask);

}  // namespace etrlrec
