// Which tensors of a model a training may change, checked before and after it: a prompt or an
// adapter that nothing trains, or a frozen model that moves, would pass unnoticed (method.md B.8
// #5).
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

class TrainedTensors {
 public:
  // Error (kFailure) unless exactly the tensors that `is_meant` names require a gradient, one at
  // least. Holds the tensors and a copy of their values.
  TrainedTensors(const ParameterMap& parameters,
                 const std::function<bool(const std::string& name)>& is_meant);
  // Error (kFailure) where all of them have the values of the beginning.
  void check_moved() const;
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<at::Tensor> tensors_, before_;
};

}  // namespace etrlrec
