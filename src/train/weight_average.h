// Exponential moving average of trained weights (Polyak and Juditsky 1992): it goes on moving where
// the weights themselves jump from step to step, so that it generalises better and validates more
// evenly.
#pragma once

#include <cstdint>
#include <string>

#include "nn/parameters.h"

namespace etrlrec {

class WeightAverage {
 public:
  // Starts as a copy of `parameters`. decay in (0, 1).
  WeightAverage(const ParameterMap& parameters, double decay);

  // After optimiser step t = 1, 2, …: average += (1 - d) / (1 - d^t) * (parameters - average). So
  // the average is the mean of the weights after all steps, those of step i weighing d^(t - i); the
  // start has no part in it.
  void update(const ParameterMap& parameters, int64_t step);
  // Exchanges the values in place: `parameters` hold the average, until the next exchange.
  void exchange(ParameterMap& parameters);

  const ParameterMap& tensors() const { return average_; }
  // Names and shapes must be those of the average (kInput, naming `name`).
  void load(const ParameterMap& tensors, const std::string& name);

 private:
  double decay_;
  ParameterMap average_;
};

}  // namespace etrlrec
