// AdamW (Loshchilov and Hutter 2019) with the arithmetic of torch.optim.AdamW, the learning-rate
// schedules of Transformers, and clipping by the global norm. One fused pass over each tensor. fp32
// tensors on the CPU only: frozen weights may have any type, they never come here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nn/parameters.h"

namespace etrlrec {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.01;  // applied to tensors of two or more dimensions
};

// The tensors of a model that an optimiser may change.
ParameterMap trainable_parameters(const ParameterMap& parameters);

class AdamW {
 public:
  // `parameters` share their storage with the model: fp32, contiguous, requires_grad.
  AdamW(ParameterMap parameters, const AdamWOptions& options);
  // Uses and keeps the gradients. A tensor without gradient is left alone, its step count included,
  // as in torch.
  void step(double learning_rate);
  void zero_grad();  // drops the gradients
  ParameterMap& parameters() { return parameters_; }

  // "exp_avg.<name>", "exp_avg_sq.<name>" (fp32) and "step.<name>" (int64, one value) of every
  // tensor, without copying.
  ParameterMap state() const;
  // Copies; error (kInput, naming `source`) unless names and shapes are exactly those of state().
  void load_state(const ParameterMap& state, const std::string& source);

 private:
  AdamWOptions options_;
  ParameterMap parameters_, state_;
};

// Norm of all gradients as one vector, the same for any thread count. Gradients are multiplied by
// max_norm / (norm + 1e-6) when that is below 1; max_norm = 0 only measures. Returns the norm
// before clipping.
double clip_grad_norm(const ParameterMap& parameters, double max_norm);

// Factor of the learning rate at an optimiser step counted from 0: "cosine" (to 0), "linear" (to 0)
// or "constant", after linear warm-up from 0. Error (kUsage) for other names.
double schedule_factor(std::string_view lr_scheduler_type, int64_t step, int64_t warmup_steps,
                       int64_t total_steps);

}  // namespace etrlrec
