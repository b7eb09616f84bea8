// Precompiled header of the units that use torch. `torch/torch.h` costs 25 s a unit and is never
// included.
#pragma once
#include <ATen/Parallel.h>
#include <c10/util/Logging.h>  // defines CHECK; base/check.h redefines it
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "pch_plain.h"
