// Arithmetic of torch's single-tensor optimisers. Adam: decay first, then lerp of the first moment,
// then the update with sqrt(v) / sqrt(1 - beta2^t) + epsilon as denominator.
#include "tuning/optim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <vector>

#include "base/check.h"
#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

constexpr int64_t kBlock = 8192;  // elements of one partial sum and the grain of the parallel loops

struct StepFactors {
  float decay, l2, add1, keep2, add2, step_size, inverse_root, epsilon;
};

ETRLREC_VECTORIZE
void update_range(float* __restrict parameter, float* __restrict exp_avg,
                  float* __restrict exp_avg_sq, const float* __restrict gradient, int64_t begin,
                  int64_t end, const StepFactors& f) {
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i] + f.l2 * parameter[i];
    const float m = exp_avg[i] + f.add1 * (g - exp_avg[i]);
    const float v = f.keep2 * exp_avg_sq[i] + f.add2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    parameter[i] =
        parameter[i] * f.decay - f.step_size * m / (std::sqrt(v) * f.inverse_root + f.epsilon);
  }
}

ETRLREC_VECTORIZE
void lion_range(float* __restrict parameter, float* __restrict exp_avg,
                const float* __restrict gradient, int64_t begin, int64_t end, float decay,
                float learning_rate, float beta1, float beta2) {
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i], m = exp_avg[i];
    const float direction = beta1 * m + (1 - beta1) * g;
    const float sign = static_cast<float>(direction > 0) - static_cast<float>(direction < 0);
    parameter[i] = parameter[i] * decay - learning_rate * sign;
    exp_avg[i] = beta2 * m + (1 - beta2) * g;
  }
}

ETRLREC_VECTORIZE
void sgd_range(float* __restrict parameter, float* __restrict buffer,
               const float* __restrict gradient, int64_t begin, int64_t end, float l2,
               float learning_rate, float momentum) {
  for (int64_t i = begin; i < end; ++i) {
    buffer[i] = momentum * buffer[i] + (gradient[i] + l2 * parameter[i]);
    parameter[i] -= learning_rate * buffer[i];
  }
}

ETRLREC_VECTORIZE
void adagrad_range(float* __restrict parameter, float* __restrict sum,
                   const float* __restrict gradient, int64_t begin, int64_t end, float l2,
                   float learning_rate, float epsilon) {
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i] + l2 * parameter[i];
    sum[i] += g * g;
    parameter[i] -= learning_rate * g / (std::sqrt(sum[i]) + epsilon);
  }
}

namespace plain {

void adam_step(at::Tensor parameter, at::Tensor exp_avg, at::Tensor exp_avg_sq,
               const at::Tensor& gradient, const StepFactors& f) {
  const at::Tensor g = gradient + parameter * f.l2;
  exp_avg.add_(g - exp_avg, f.add1);
  exp_avg_sq.mul_(f.keep2).addcmul_(g, g, f.add2);
  const at::Tensor denominator = exp_avg_sq.sqrt() * f.inverse_root + f.epsilon;
  parameter.mul_(f.decay).addcdiv_(exp_avg, denominator, -f.step_size);
}

void lion_step(at::Tensor parameter, at::Tensor exp_avg, const at::Tensor& gradient, double decay,
               double learning_rate, double beta1, double beta2) {
  const at::Tensor direction = exp_avg * beta1 + gradient * (1 - beta1);
  parameter.mul_(decay).sub_(direction.sign(), learning_rate);
  exp_avg.mul_(beta2).add_(gradient, 1 - beta2);
}

void sgd_step(at::Tensor parameter, at::Tensor buffer, const at::Tensor& gradient, double l2,
              double learning_rate, double momentum) {
  buffer.mul_(momentum).add_(gradient + parameter * l2);
  parameter.sub_(buffer, learning_rate);
}

void adagrad_step(at::Tensor parameter, at::Tensor sum, const at::Tensor& gradient, double l2,
                  double learning_rate, double epsilon) {
  const at::Tensor g = gradient + parameter * l2;
  sum.addcmul_(g, g);
  parameter.addcdiv_(g, sum.sqrt() + epsilon, -learning_rate);
}

double sum_of_squares(const at::Tensor& tensor) {
  return tensor.to(at::kDouble).square().sum().item<double>();
}

}  // namespace plain

// The first of the tensors that a rule keeps, of every rule.
const std::map<std::string, const char*> kFirstState = {{"adamw", "exp_avg."},
                                                        {"adam", "exp_avg."},
                                                        {"lion", "exp_avg."},
                                                        {"sgd", "momentum_buffer."},
                                                        {"adagrad", "sum."}};

bool is_adam(const OptimizerOptions& options) {
  return options.optim == "adamw" || options.optim == "adam";
}

double sum_of_squares(const at::Tensor& tensor) {
  const float* data = tensor.const_data_ptr<float>();
  const int64_t size = tensor.numel(), blocks = (size + kBlock - 1) / kBlock;
  std::vector<double> partial(static_cast<size_t>(blocks), 0.0);
  at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      double lanes[8] = {};
      const int64_t begin = block * kBlock, end = std::min(size, begin + kBlock);
      int64_t i = begin;
      for (; i + 8 <= end; i += 8)
        for (int64_t k = 0; k < 8; ++k) lanes[k] += static_cast<double>(data[i + k]) * data[i + k];
      for (; i < end; ++i) lanes[0] += static_cast<double>(data[i]) * data[i];
      for (double lane : lanes) partial[block] += lane;
    }
  });
  double sum = 0;
  for (double value : partial) sum += value;
  return sum;
}

}  // namespace

ParameterMap trainable_parameters(const ParameterMap& parameters) {
  ParameterMap trainable;
  for (const auto& [name, tensor] : parameters)
    if (tensor.requires_grad()) trainable.emplace(name, tensor);
  return trainable;
}

std::vector<std::string> optimizer_names() { return {"adamw", "adam", "lion", "sgd", "adagrad"}; }

Optimizer::Optimizer(ParameterMap parameters, const OptimizerOptions& options,
                     const Numerics& numerics)
    : options_(options), numerics_(numerics), parameters_(std::move(parameters)) {
  const auto first = kFirstState.find(options.optim);
  CHECK(first != kFirstState.end(), kUsage, "unknown optimiser \"{}\"; known: {}", options.optim,
        fmt::join(optimizer_names(), ", "));
  CHECK(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1, kUsage,
        "adam_beta1, adam_beta2: expected values in [0, 1), found {}, {}", options.beta1,
        options.beta2);
  CHECK(!parameters_.empty(), kUsage, "{}: expected a trainable tensor, found none", options.optim);
  for (const auto& [name, tensor] : parameters_) {
    CHECK(tensor.scalar_type() == at::kFloat && tensor.is_contiguous(), kModel,
          "{}: a trainable tensor must be float32 and contiguous", name);
    state_[first->second + name] = at::zeros(tensor.sizes(), tensor.device());
    if (!is_adam(options)) continue;
    state_["exp_avg_sq." + name] = at::zeros(tensor.sizes(), tensor.device());
    state_["step." + name] = at::zeros({1}, at::kLong);
  }
}

void Optimizer::adam_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                          double decay) {
  const int64_t count = ++*state_.at("step." + name).data_ptr<int64_t>();
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(count));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(count));
  const bool decoupled = options_.optim == "adamw";
  const StepFactors factors{static_cast<float>(1 - (decoupled ? learning_rate * decay : 0)),
                            static_cast<float>(decoupled ? 0 : decay),
                            static_cast<float>(1 - options_.beta1),
                            static_cast<float>(options_.beta2),
                            static_cast<float>(1 - options_.beta2),
                            static_cast<float>(learning_rate / correction1),
                            static_cast<float>(1 / std::sqrt(correction2)),
                            static_cast<float>(options_.epsilon)};
  const at::Tensor gradient = tensor.grad().contiguous();
  if (takes_plain_way(tensor, numerics_))
    return plain::adam_step(tensor.detach(), state_.at("exp_avg." + name),
                            state_.at("exp_avg_sq." + name), gradient, factors);
  float* values = static_cast<float*>(tensor.data_ptr());
  float* exp_avg = state_.at("exp_avg." + name).data_ptr<float>();
  float* exp_avg_sq = state_.at("exp_avg_sq." + name).data_ptr<float>();
  const float* gradients = gradient.const_data_ptr<float>();
  at::parallel_for(0, tensor.numel(), kBlock, [&](int64_t begin, int64_t end) {
    update_range(values, exp_avg, exp_avg_sq, gradients, begin, end, factors);
  });
}

void Optimizer::lion_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                          double decay) {
  const at::Tensor gradient = tensor.grad().contiguous();
  const at::Tensor& state = state_.at("exp_avg." + name);
  if (takes_plain_way(tensor, numerics_))
    return plain::lion_step(tensor.detach(), state, gradient, 1 - learning_rate * decay,
                            learning_rate, options_.beta1, options_.beta2);
  float* values = static_cast<float*>(tensor.data_ptr());
  float* exp_avg = state.data_ptr<float>();
  const float* gradients = gradient.const_data_ptr<float>();
  const auto rate = static_cast<float>(learning_rate),
             keep = static_cast<float>(1 - learning_rate * decay),
             beta1 = static_cast<float>(options_.beta1), beta2 = static_cast<float>(options_.beta2);
  at::parallel_for(0, tensor.numel(), kBlock, [&](int64_t begin, int64_t end) {
    lion_range(values, exp_avg, gradients, begin, end, keep, rate, beta1, beta2);
  });
}

void Optimizer::sgd_step(const std::string& name, const at::Tensor& tensor, double learning_rate,
                         double decay) {
  const at::Tensor gradient = tensor.grad().contiguous();
  const at::Tensor& state = state_.at("momentum_buffer." + name);
  if (takes_plain_way(tensor, numerics_))
    return plain::sgd_step(tensor.detach(), state, gradient, decay, learning_rate,
                           options_.momentum);
  float* values = static_cast<float*>(tensor.data_ptr());
  float* buffer = state.data_ptr<float>();
  const float* gradients = gradient.const_data_ptr<float>();
  const auto rate = static_cast<float>(learning_rate), l2 = static_cast<float>(decay),
             momentum = static_cast<float>(options_.momentum);
  at::parallel_for(0, tensor.numel(), kBlock, [&](int64_t begin, int64_t end) {
    sgd_range(values, buffer, gradients, begin, end, l2, rate, momentum);
  });
}

void Optimizer::adagrad_step(const std::string& name, const at::Tensor& tensor,
                             double learning_rate, double decay) {
  const at::Tensor gradient = tensor.grad().contiguous();
  const at::Tensor& state = state_.at("sum." + name);
  if (takes_plain_way(tensor, numerics_))
    return plain::adagrad_step(tensor.detach(), state, gradient, decay, learning_rate,
                               options_.epsilon);
  float* values = static_cast<float*>(tensor.data_ptr());
  float* sum = state.data_ptr<float>();
  const float* gradients = gradient.const_data_ptr<float>();
  const auto rate = static_cast<float>(learning_rate), l2 = static_cast<float>(decay),
             epsilon = static_cast<float>(options_.epsilon);
  at::parallel_for(0, tensor.numel(), kBlock, [&](int64_t begin, int64_t end) {
    adagrad_range(values, sum, gradients, begin, end, l2, rate, epsilon);
  });
}

void Optimizer::step(double learning_rate) {
  for (const auto& [name, tensor] : parameters_) {
    if (!tensor.grad().defined()) continue;
    const double decay = tensor.dim() >= 2 ? options_.weight_decay : 0;
    if (options_.optim == "lion")
      lion_step(name, tensor, learning_rate, decay);
    else if (options_.optim == "sgd")
      sgd_step(name, tensor, learning_rate, decay);
    else if (options_.optim == "adagrad")
      adagrad_step(name, tensor, learning_rate, decay);
    else
      adam_step(name, tensor, learning_rate, decay);
    tensor.unsafeGetTensorImpl()->bump_version();
  }
}

void Optimizer::zero_grad() {
  for (auto& [name, tensor] : parameters_) tensor.mutable_grad() = at::Tensor();
}

ParameterMap Optimizer::state() const { return state_; }

void Optimizer::load_state(const ParameterMap& state, const std::string& source) {
  copy_state(state, state_, source);
}

void copy_state(const ParameterMap& source, ParameterMap& target, const std::string& file) {
  CHECK(source.size() == target.size(), kInput, "{}: expected {} tensors, found {}", file,
        target.size(), source.size());
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : target) {
    const auto found = source.find(name);
    CHECK(found != source.end(), kInput, "{}: tensor \"{}\" is missing", file, name);
    CHECK(found->second.sizes() == tensor.sizes() &&
              found->second.scalar_type() == tensor.scalar_type(),
          kInput, "{}: tensor \"{}\" has another shape or type than the model", file, name);
    tensor.copy_(found->second);
  }
}

double clip_grad_norm(const ParameterMap& parameters, double max_norm, const Numerics& numerics) {
  CHECK(max_norm >= 0, kUsage, "max_grad_norm: expected a value of at least 0, found {}", max_norm);
  double sum = 0;
  for (const auto& [name, tensor] : parameters) {
    if (!tensor.grad().defined()) continue;
    const at::Tensor gradient = tensor.grad().contiguous();
    sum += takes_plain_way(gradient, numerics) ? plain::sum_of_squares(gradient)
                                               : sum_of_squares(gradient);
  }
  const double norm = std::sqrt(sum), factor = max_norm / (norm + 1e-6);
  if (max_norm > 0 && factor < 1) {
    for (const auto& [name, tensor] : parameters)
      if (tensor.grad().defined()) tensor.mutable_grad().mul_(factor);
  }
  return norm;
}

double schedule_factor(std::string_view lr_scheduler_type, int64_t step, int64_t warmup_steps,
                       int64_t total_steps) {
  CHECK(lr_scheduler_type == "cosine" || lr_scheduler_type == "linear" ||
            lr_scheduler_type == "constant",
        kUsage, "unknown lr_scheduler_type \"{}\"; known: cosine, linear, constant",
        lr_scheduler_type);
  if (step < warmup_steps)
    return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup_steps));
  if (lr_scheduler_type == "constant") return 1;
  const double span = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  if (lr_scheduler_type == "linear")
    return std::max(0.0, static_cast<double>(total_steps - step) / span);
  const double progress = static_cast<double>(step - warmup_steps) / span;
  return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

}  // namespace etrlrec
