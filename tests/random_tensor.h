// Tensors that the tests of nn make.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "base/rng.h"

namespace etrlrec {

// float32 with standard normal values of the stream `name`.
inline at::Tensor random_tensor(at::IntArrayRef shape, const std::string& name, uint64_t index) {
  at::Tensor out = at::empty(shape, at::kFloat);
  Rng rng(7, name, index);
  float* values = out.data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(rng.normal());
  return out;
}

// A copy that collects a gradient.
inline at::Tensor leaf(const at::Tensor& t) { return t.detach().clone().requires_grad_(true); }

}  // namespace etrlrec
