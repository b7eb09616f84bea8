// How far two tensors are apart.
#pragma once

#include <ATen/ATen.h>

namespace etrlrec {

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// |a - b| / |b|
inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

}  // namespace etrlrec
