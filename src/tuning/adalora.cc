#include "tuning/adalora.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

const std::string kA = ".lora_A", kB = ".lora_B", kE = ".lora_E";

}  // namespace

at::Tensor orthogonality(const ParameterMap& parameters) {
  at::Tensor sum;
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters) {
    const bool is_a = name.ends_with(kA);
    if (!is_a && !name.ends_with(kB)) continue;
    const at::Tensor gram = is_a ? at::mm(tensor, tensor.t()) : at::mm(tensor.t(), tensor);
    const at::Tensor norm = at::norm(gram - at::eye(gram.size(0)));
    sum = sum.defined() ? sum + norm : norm;
    ++count;
  }
  CHECK(count > 0, kUsage, "AdaLoRA: the model has no such adapter");
  return sum / static_cast<double>(count);
}

RankAllocator::RankAllocator(const ParameterMap& parameters, const LoraConfig& config)
    : init_r_(config.r) {
  CHECK(config.adalora.has_value(), kUsage, "AdaLoRA: the model has no such adapter");
  config_ = *config.adalora;
  CHECK(config_.target_r > 0 && config_.target_r <= init_r_, kUsage,
        "AdaLoRA: target_r: expected 1 to init_r = {}, found {}", init_r_, config_.target_r);
  CHECK(config_.tinit >= 0 && config_.tfinal >= 0 && config_.deltaT > 0, kUsage,
        "AdaLoRA: tinit, tfinal, deltaT: expected >= 0, >= 0, > 0, found {}, {}, {}", config_.tinit,
        config_.tfinal, config_.deltaT);
  CHECK(config_.tinit < config_.total_step - config_.tfinal, kUsage,
        "AdaLoRA: the schedule leaves no step for pruning: tinit {}, tfinal {}, total_step {}\n"
        "hint: lower tinit and tfinal, or train longer",
        config_.tinit, config_.tfinal, config_.total_step);
  CHECK(config_.beta1 > 0 && config_.beta1 < 1 && config_.beta2 > 0 && config_.beta2 < 1, kUsage,
        "AdaLoRA: beta1, beta2: expected values in (0, 1), found {}, {}", config_.beta1,
        config_.beta2);
  CHECK(config_.orth_reg_weight >= 0, kUsage,
        "AdaLoRA: orth_reg_weight: expected a value of at least 0, found {}",
        config_.orth_reg_weight);
  modules_ = adapted_modules(parameters);
  CHECK(!modules_.empty(), kUsage, "AdaLoRA: the model has no adapter");
  for (const std::string& module : modules_) {
    const AdapterTensors adapter = adapter_tensors(parameters, module);
    CHECK(adapter.E.defined() && adapter.E.size(0) == init_r_, kUsage,
          "AdaLoRA: expected an adapter of rank {} at \"{}\", found {}", init_r_, module,
          adapter.E.defined() ? fmt::format("a pruned one of rank {}", adapter.E.size(0))
                              : "one of LoRA");
    tensors_[module + kA] = adapter.A;
    tensors_[module + kB] = adapter.B;
    tensors_[module + kE] = adapter.E;
  }
  for (const auto& [name, tensor] : tensors_) {
    exp_avg_ipt_[name] = at::zeros(tensor.sizes());
    exp_avg_unc_[name] = at::zeros(tensor.sizes());
  }
}

int64_t RankAllocator::budget(int64_t step) const {
  const auto modules = static_cast<int64_t>(modules_.size());
  const int64_t start = init_r_ * modules, target = config_.target_r * modules;
  if (step <= config_.tinit) return start;
  if (step > config_.total_step - config_.tfinal) return target;
  const double left =
      1 - static_cast<double>(step - config_.tinit) /
              static_cast<double>(config_.total_step - config_.tfinal - config_.tinit);
  return static_cast<int64_t>(static_cast<double>(start - target) * std::pow(left, 3.0) +
                              static_cast<double>(target));
}

void RankAllocator::update_importance() {
  for (const auto& [name, tensor] : tensors_) {
    at::Tensor& mean = exp_avg_ipt_.at(name);
    at::Tensor& uncertainty = exp_avg_unc_.at(name);
    const at::Tensor importance =
        tensor.grad().defined() ? (tensor * tensor.grad()).abs() : at::zeros_like(mean);
    mean.mul_(config_.beta1).add_(importance, 1 - config_.beta1);
    uncertainty.mul_(config_.beta2).add_((importance - mean).abs(), 1 - config_.beta2);
  }
}

std::map<std::string, at::Tensor> RankAllocator::scores() const {
  const at::NoGradGuard no_grad;
  const auto element = [&](const std::string& name) {
    return exp_avg_ipt_.at(name) * exp_avg_unc_.at(name);
  };
  std::map<std::string, at::Tensor> out;
  for (const std::string& module : modules_) {
    out[module] = element(module + kE).view(-1) +
                  (element(module + kA).mean(1) + element(module + kB).mean(0));
  }
  return out;
}

void RankAllocator::allocate(int64_t budget) {
  const auto by_module = scores();
  std::vector<at::Tensor> parts;
  for (const auto& [module, score] : by_module) parts.push_back(score);
  const at::Tensor all = at::cat(parts);
  const int64_t pruned = all.numel() - budget;
  // Everything up to the threshold goes, ties included.
  const float threshold = pruned > 0 ? std::get<0>(at::kthvalue(all, pruned)).item<float>() : -1.0F;
  for (const auto& [module, score] : by_module) {
    std::vector<bool>& kept = pattern_[module];
    kept.clear();
    const at::Tensor values = score.contiguous();
    for (int64_t i = 0; i < values.numel(); ++i)
      kept.push_back(values.const_data_ptr<float>()[i] > threshold);
  }
  prune();
}

void RankAllocator::prune() {
  const at::NoGradGuard no_grad;
  for (const auto& [module, kept] : pattern_) {
    const at::Tensor& entries = tensors_.at(module + kE);
    for (size_t i = 0; i < kept.size(); ++i) {
      if (!kept[i]) entries[static_cast<int64_t>(i)].zero_();
    }
  }
}

void RankAllocator::update_and_allocate(int64_t step) {
  const at::NoGradGuard no_grad;
  const int64_t last = config_.total_step - config_.tfinal;  // step of the last allocation
  if (step > last) return prune();
  if (step < last) update_importance();
  if (step == last || (step > config_.tinit && step % config_.deltaT == 0)) allocate(budget(step));
}

std::string RankAllocator::description() const {
  return fmt::format(
      "init_r {}, target_r {}, tinit {}, tfinal {}, deltaT {}, beta1 {}, beta2 {}, "
      "orth_reg_weight {}, total_step {}",
      init_r_, config_.target_r, config_.tinit, config_.tfinal, config_.deltaT, config_.beta1,
      config_.beta2, config_.orth_reg_weight, config_.total_step);
}

ParameterMap RankAllocator::state() const {
  ParameterMap state;
  for (const auto& [name, tensor] : exp_avg_ipt_) state["exp_avg_ipt." + name] = tensor;
  for (const auto& [name, tensor] : exp_avg_unc_) state["exp_avg_unc." + name] = tensor;
  state["is_pruned"] = at::full({1}, pattern_.empty() ? 0 : 1, at::kByte);
  for (const std::string& module : modules_) {
    at::Tensor kept = at::ones({init_r_}, at::kByte);
    const auto found = pattern_.find(module);
    for (int64_t i = 0; found != pattern_.end() && i < init_r_; ++i)
      kept.data_ptr<uint8_t>()[i] = found->second[static_cast<size_t>(i)] ? 1 : 0;
    state["kept." + module] = kept;
  }
  return state;
}

void RankAllocator::load_state(const ParameterMap& saved, const std::string& source) {
  ParameterMap own = state();  // shares the importances
  copy_state(saved, own, source);
  pattern_.clear();
  if (own.at("is_pruned").item<uint8_t>() == 0) return;
  for (const std::string& module : modules_) {
    const at::Tensor& kept = own.at("kept." + module);
    for (int64_t i = 0; i < init_r_; ++i)
      pattern_[module].push_back(kept.const_data_ptr<uint8_t>()[i] != 0);
  }
}

}  // namespace etrlrec
