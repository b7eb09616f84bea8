// Inner products of each state with a few rows of the item matrix, without copies of those rows.
#pragma once

#include <torch/types.h>

#include "nn/numerics.h"

namespace etrlrec {

// <hidden[t], weight[items[t, j]]>; hidden [T, C], weight [N, C], items int64 [T, k] -> [T, k].
// Differentiable in hidden and weight.
at::Tensor gathered_scores(const at::Tensor& hidden, const at::Tensor& weight,
                           const at::Tensor& items, const Numerics& numerics = {});

}  // namespace etrlrec
