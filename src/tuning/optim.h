// Optimisers with the arithmetic of torch, the learning-rate schedules of Transformers, and
// clipping by the global norm. One fused pass over each tensor on the CPU, ATen's operations
// otherwise (nn/numerics.h). fp32 tensors only: frozen weights may have any type, they never come
// here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/numerics.h"
#include "nn/parameters.h"

namespace etrlrec {

struct OptimizerOptions {
  // adamw: Loshchilov and Hutter 2019, decay apart from the gradient
  // adam: Kingma and Ba 2015, decay inside the gradient (L2)
  // lion: Chen et al. 2023, sign of an interpolated momentum, decay apart from the gradient
  // sgd: with momentum, decay inside the gradient
  // adagrad: Duchi et al. 2011, sum of squares, decay inside the gradient
  std::string optim = "adamw";
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // lion: beta2 0.99 in the paper
  double momentum = 0.9;                              // sgd
  double weight_decay = 0.01;  // applied to tensors of two or more dimensions
};

// The tensors of a model that an optimiser may change.
ParameterMap trainable_parameters(const ParameterMap& parameters);

// The names of OptimizerOptions::optim.
std::vector<std::string> optimizer_names();

class Optimizer {
 public:
  // `parameters` share their storage with the model: fp32, contiguous, requires_grad. Error
  // (kUsage) for an unknown name or options out of range.
  Optimizer(ParameterMap parameters, const OptimizerOptions& options,
            const Numerics& numerics = {});
  // Uses and keeps the gradients. A tensor without gradient is left alone, its step count included,
  // as in torch.
  void step(double learning_rate);
  void zero_grad();  // drops the gradients
  ParameterMap& parameters() { return parameters_; }

  // What the rule keeps of every tensor, without copying. adamw, adam: "exp_avg.<name>",
  // "exp_avg_sq.<name>" (fp32) and "step.<name>" (int64, one value); lion: "exp_avg.<name>"; sgd:
  // "momentum_buffer.<name>"; adagrad: "sum.<name>".
  ParameterMap state() const;
  // Copies; error (kInput, naming `source`) unless names and shapes are exactly those of state().
  void load_state(const ParameterMap& state, const std::string& source);

 private:
  void adam_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                 double decay);
  void lion_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                 double decay);
  void sgd_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                double decay);
  void adagrad_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                    double decay);
  OptimizerOptions options_;
  Numerics numerics_;
  ParameterMap parameters_, state_;
};

// Copies the tensors of `source` into those of `target`; error (kInput, naming `file`) unless
// names, shapes and types are the same.
void copy_state(const ParameterMap& source, ParameterMap& target, const std::string& file);

// Norm of all gradients as one vector, the same for any thread count. Gradients are multiplied by
// max_norm / (norm + 1e-6) when that is below 1; max_norm = 0 only measures. Returns the norm
// before clipping.
double clip_grad_norm(const ParameterMap& parameters, double max_norm,
                      const Numerics& numerics = {});

// Factor of the learning rate at an optimiser step counted from 0: "cosine" (to 0), "linear" (to 0)
// or "constant", after linear warm-up from 0. Error (kUsage) for other names.
double schedule_factor(std::string_view lr_scheduler_type, int64_t step, int64_t warmup_steps,
                       int64_t total_steps);

}  // namespace etrlrec
