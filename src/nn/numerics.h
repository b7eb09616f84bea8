// How a model computes: the arithmetic of products with its frozen weights, and the device of its
// tensors. A value that belongs to a model and is handed to every piece of its forward and backward
// pass; two models of one process may differ in it.
#pragma once

#include <c10/core/Device.h>
#include <torch/types.h>

#include "kernels/arithmetic.h"

namespace etrlrec {

struct Numerics {
  // Of products with frozen weights (kernels/arithmetic.h). With kReference every piece is computed
  // by plain ATen operations on widened weights.
  Arithmetic arithmetic = best_arithmetic();
  at::Device device = at::Device(at::kCPU);
};

// True where a piece is computed by plain ATen operations: its tensors are not on the CPU, or the
// arithmetic is the reference. The kernels of this program are taken otherwise. Every piece of nn/
// asks this question first and keeps its plain way in a namespace `plain` of the same unit.
bool takes_plain_way(const at::Tensor& tensor, const Numerics& numerics);

}  // namespace etrlrec
