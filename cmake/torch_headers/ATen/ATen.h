// Stands in front of the wheel's header of this name: tensors and all operators, but no dispatcher,
// no JIT types and no kernels' declarations. Every unit pays for what its precompiled header
// declares (templates that its inline functions use are instantiated again in each unit), and this
// half of ATen costs half of it. What else a unit needs it includes by its own header.
#pragma once
#include <ATen/Formatting.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
