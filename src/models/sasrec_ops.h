// Fused, differentiable pieces of SASRec: embedding lookup with dropout (nn/noise.h).
#pragma once

#include <torch/types.h>

#include "nn/noise.h"
#include "nn/numerics.h"

namespace etrlrec {

// dropout(scale * item_weight[items] + position_weight[positions]); items, positions int32 [T] ->
// [T, C].
at::Tensor embed_items(const at::Tensor& item_weight, const at::Tensor& position_weight,
                       const at::Tensor& items, const at::Tensor& positions, double scale,
                       const DropoutMask& mask, const Numerics& numerics = {});

}  // namespace etrlrec
