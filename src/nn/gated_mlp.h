// The gated block of a decoder layer (SwiGLU; Shazeer 2020): down(silu(gate(x)) * up(x)).
#pragma once

#include <torch/types.h>

#include <vector>

#include "nn/linear_part.h"
#include "nn/numerics.h"

namespace etrlrec {

// x [T, C] -> [T, out of down_proj]; gate_up: both layers, gate first. Differentiable. Where all
// weights multiply in bfloat16 arithmetic (nn/weight.h) and carry neither bias nor adapter, many
// rows pass through as one function: what lies between the products is bfloat16, forward and
// backward, and gate and up are all that is kept. Otherwise,
// and in the plain way, the same as linear(swiglu(linear(x, gate_up)), down_proj).
at::Tensor gated_mlp(const at::Tensor& x, const std::vector<LinearPart>& gate_up,
                     const std::vector<LinearPart>& down_proj, const Numerics& numerics = {});

}  // namespace etrlrec
