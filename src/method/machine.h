// What doctor measures of this machine: how fast linear layers run on it.
#pragma once

#include <torch/types.h>

#include "nn/numerics.h"

namespace etrlrec {

// GFLOP/s of y = x W^T with x [2048, 512] and W [512, 512] of the type, the best of five turns.
double linear_rate(at::ScalarType weight_type, const Numerics& numerics);

}  // namespace etrlrec
