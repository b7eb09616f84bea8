// Precompiled header of the units that use torch. `ATen/ATen.h` is the light one of
// cmake/torch_headers. `torch/torch.h` costs 25 s a unit and is never included;
// `torch/csrc/autograd/custom_function.h` only by the few units that define a function for
// autograd.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/Logging.h>  // defines CHECK; base/check.h redefines it

#include "pch_plain.h"
