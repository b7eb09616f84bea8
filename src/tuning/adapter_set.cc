#include "tuning/adapter_set.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "tuning/adapter_files.h"

namespace etrlrec {
namespace {

constexpr double kMergeTolerance = 1e-3;

}  // namespace

// The selected adapter leaves the map before another one comes, and returns when that fails.
template <typename Add>
void AdapterSet::add(const std::string& name, Add&& add_tensors) {
  CHECK(!name.empty(), kUsage, "adapter: expected a name");
  CHECK(!adapters_.contains(name), kUsage, "adapter: the model has one named \"{}\" already", name);
  const std::string before = selected_;
  select("");
  try {
    LoraConfig config = add_tensors();
    if (config.r == 0) return select(before);
    adapters_[name].config = std::move(config);
  } catch (...) {
    select(before);
    throw;
  }
  selected_ = name;
}

void AdapterSet::attach(const LoraConfig& config, uint64_t seed, const std::string& name) {
  add(name, [&] {
    attach_lora(parameters_, config, seed);
    return config;
  });
}

void AdapterSet::load(const std::filesystem::path& folder, const std::string& name) {
  add(name, [&] { return load_lora(parameters_, folder); });
}

void AdapterSet::select(const std::string& name) {
  CHECK(name.empty() || adapters_.contains(name), kUsage,
        "adapter: none is named \"{}\"; known: {}", name, fmt::join(names(), ", "));
  if (!selected_.empty()) {
    ParameterMap& kept = adapters_.at(selected_).tensors;
    for (const std::string& module : adapted_modules(parameters_)) {
      for (const char* suffix :
           {".lora_A.weight", ".lora_B.weight", ".lora_A", ".lora_B", ".lora_E"}) {
        if (auto node = parameters_.extract(module + suffix)) kept.insert(std::move(node));
      }
    }
  }
  selected_ = name;
  if (!name.empty()) parameters_.merge(adapters_.at(name).tensors);
}

std::vector<std::string> AdapterSet::names() const {
  std::vector<std::string> names;
  for (const auto& [name, adapter] : adapters_) names.push_back(name);
  return names;
}

const LoraConfig& AdapterSet::config() const {
  static const LoraConfig none;
  return selected_.empty() ? none : adapters_.at(selected_).config;
}

void AdapterSet::set_trainable(bool trainable) {
  CHECK(!selected_.empty(), kUsage, "adapter: there is none to train or to freeze");
  for (const std::string& module : adapted_modules(parameters_)) {
    AdapterTensors adapter = adapter_tensors(parameters_, module);
    for (at::Tensor* tensor : {&adapter.A, &adapter.B, &adapter.E})
      if (tensor->defined()) tensor->requires_grad_(trainable);
  }
}

AdapterPass AdapterSet::pass(const TrainingNoise& noise) const {
  return {enabled_ && !selected_.empty() ? &config() : nullptr, noise};
}

void AdapterSet::set_rank_pattern(RankPattern pattern) {
  CHECK(config().adalora.has_value(), kUsage, "adapter: only AdaLoRA has a rank pattern");
  adapters_.at(selected_).config.adalora->rank_pattern = std::move(pattern);
}

void AdapterSet::merge() {
  CHECK(!selected_.empty(), kUsage, "adapter: there is none to merge");
  CHECK(adapters_.size() == 1, kUsage, "adapter: the others ({}) would see another base model",
        fmt::join(names(), ", "));
  merge_lora(parameters_, config());
  adapters_.clear();
  selected_.clear();
}

double AdapterSet::merge_verified(const std::function<at::Tensor()>& logits) {
  const at::NoGradGuard no_grad;
  widen_adapted_weights(parameters_);
  const at::Tensor before = logits();
  merge();
  const at::Tensor after = logits();
  const double difference = (after - before).abs().max().item<double>(),
               largest = before.abs().max().item<double>();
  CHECK(difference <= kMergeTolerance * largest, kNumbers,
        "merge: logits changed by up to {:.3g} (the largest is {:.3g}); the merged weights are not "
        "used",
        difference, largest);
  return difference;
}

}  // namespace etrlrec
