#include "train/weight_average.h"

#include <ATen/ATen.h>

#include <cmath>

#include "tuning/optim.h"

namespace etrlrec {

WeightAverage::WeightAverage(const ParameterMap& parameters, double decay) : decay_(decay) {
  for (const auto& [name, tensor] : parameters) average_[name] = tensor.detach().clone();
}

void WeightAverage::update(const ParameterMap& parameters, int64_t step) {
  const at::NoGradGuard no_grad;
  const double rate = (1 - decay_) / (1 - std::pow(decay_, static_cast<double>(step)));
  for (auto& [name, average] : average_) average.lerp_(parameters.at(name).detach(), rate);
}

void WeightAverage::exchange(ParameterMap& parameters) {
  const at::NoGradGuard no_grad;
  for (auto& [name, average] : average_) {
    at::Tensor& tensor = parameters.at(name);
    const at::Tensor kept = tensor.detach().clone();
    tensor.copy_(average);
    average.copy_(kept);
  }
}

void WeightAverage::load(const ParameterMap& tensors, const std::string& name) {
  copy_state(tensors, average_, name);
}

}  // namespace etrlrec
