#include "tuning/adapters.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

const std::string kWeight = ".weight";
const std::array<std::string, 5> kSuffixes{".lora_A.weight", ".lora_B.weight", ".lora_A", ".lora_B",
                                           ".lora_E"};
// Matrices that are no linear layers, and the head: "all-linear" of PEFT leaves them out, too.
const std::set<std::string> kNotLinear{"embed_tokens", "shared", "relative_attention_bias",
                                       "lm_head"};

// The module of an adapter tensor, empty for other names.
std::string module_of(const std::string& name) {
  for (const std::string& suffix : kSuffixes) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  return {};
}

bool ends_with_module(const std::string& module, const std::string& key) {
  return module == key || module.ends_with("." + key);
}

bool is_target(const std::string& module, const LoraConfig& config) {
  const auto& targets = config.target_modules;
  if (targets.empty() || (targets.size() == 1 && targets[0] == "all-linear"))
    return takes_adapter(module);
  for (const std::string& target : targets) {
    if (ends_with_module(module, target)) return true;
  }
  return false;
}

// The value of the key that `module` ends with. Two keys with different values: PEFT would take
// the first of the file, which is rarely meant.
template <typename T>
T pattern_value(const std::map<std::string, T>& pattern, const std::string& module, T otherwise,
                const char* field) {
  const std::pair<const std::string, T>* found = nullptr;
  for (const auto& entry : pattern) {
    if (!ends_with_module(module, entry.first)) continue;
    CHECK(found == nullptr || found->second == entry.second, kModel,
          "LoRA: {}: \"{}\" and \"{}\" both fit \"{}\" with different values", field, found->first,
          entry.first, module);
    found = &entry;
  }
  return found == nullptr ? otherwise : found->second;
}

void freeze_all(ParameterMap& parameters) {
  for (auto& [name, tensor] : parameters) {
    CHECK(module_of(name).empty(), kUsage, "adapter: the model has one already (\"{}\")", name);
    tensor.requires_grad_(false);
  }
}

void check_config(const LoraConfig& config) {
  CHECK(config.r >= 0, kUsage, "LoRA: expected a rank of at least 0, found {}", config.r);
  CHECK(config.lora_alpha > 0, kUsage, "LoRA: expected a positive alpha, found {}",
        config.lora_alpha);
  CHECK(config.lora_dropout >= 0 && config.lora_dropout < 1, kUsage,
        "LoRA: lora_dropout: expected a value in [0, 1), found {}", config.lora_dropout);
  CHECK(!config.adalora ||
            (!config.use_rslora && config.rank_pattern.empty() && config.alpha_pattern.empty()),
        kUsage, "AdaLoRA: use_rslora, rank and alpha patterns of LoRA do not apply");
}

at::Tensor random_tensor(std::vector<int64_t> shape, Rng& rng, double bound, double deviation) {
  at::Tensor out = at::empty(shape, at::kFloat);
  float* values = out.data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    values[i] = static_cast<float>(deviation > 0 ? rng.normal() * deviation
                                                 : (2 * rng.uniform() - 1) * bound);
  }
  return out;
}

void attach_pair(ParameterMap& parameters, const std::string& module, const LoraConfig& config,
                 uint64_t seed) {
  const at::Tensor& weight = parameters.at(module + kWeight);
  const int64_t rank = config.rank(module), inputs = weight.size(1), outputs = weight.size(0);
  Rng rng(seed, "lora." + module);
  if (config.adalora) {  // as PEFT initialises: singular vectors N(0, 0.02), values 0
    parameters[module + ".lora_A"] = random_tensor({rank, inputs}, rng, 0, 0.02);
    parameters[module + ".lora_E"] = at::zeros({rank, 1}, at::kFloat);
    parameters[module + ".lora_B"] = random_tensor({outputs, rank}, rng, 0, 0.02);
  } else {  // Kaiming uniform with a = sqrt(5): bound 1 / sqrt(in)
    const double bound = 1.0 / std::sqrt(static_cast<double>(inputs));
    parameters[module + ".lora_A.weight"] = random_tensor({rank, inputs}, rng, bound, 0);
    parameters[module + ".lora_B.weight"] = at::zeros({outputs, rank}, at::kFloat);
  }
}

}  // namespace

int64_t LoraConfig::rank(const std::string& module) const {
  return pattern_value(rank_pattern, module, r, "rank_pattern");
}

double LoraConfig::scale(const std::string& module) const {
  const auto rank_here = static_cast<double>(rank(module));
  if (rank_here == 0) return 0;
  const double alpha = pattern_value(alpha_pattern, module, lora_alpha, "alpha_pattern");
  if (adalora) return alpha / (rank_here + 1e-5);
  return alpha / (use_rslora ? std::sqrt(rank_here) : rank_here);
}

bool is_adapter_parameter(const std::string& name) {
  return !module_of(name).empty() || name.starts_with("prompt_embeddings");
}

AdapterTensors adapter_tensors(const ParameterMap& parameters, const std::string& module) {
  const auto find = [&](const std::string& suffix) {
    const auto it = parameters.find(module + suffix);
    return it == parameters.end() ? at::Tensor() : it->second;
  };
  AdapterTensors out{find(".lora_A.weight"), find(".lora_B.weight"), {}};
  if (!out.A.defined() && !out.B.defined()) {
    out = {find(".lora_A"), find(".lora_B"), find(".lora_E")};
    CHECK(out.E.defined() == out.A.defined(), kModel, "model: adapter of \"{}\" is incomplete",
          module);
  }
  CHECK(out.A.defined() == out.B.defined(), kModel, "model: adapter of \"{}\" is incomplete",
        module);
  return out;
}

LinearPart linear_part(const ParameterMap& parameters, const std::string& module,
                       double lora_scale) {
  const auto find = [&](const std::string& suffix) {
    const auto it = parameters.find(module + suffix);
    return it == parameters.end() ? at::Tensor() : it->second;
  };
  LinearPart part;
  part.weight = find(".weight");
  CHECK(part.weight.defined(), kModel, "model: parameter \"{}.weight\" is missing", module);
  part.bias = find(".bias");
  if (lora_scale != 0) {
    const AdapterTensors adapter = adapter_tensors(parameters, module);
    part.lora_A = adapter.E.defined() ? adapter.A * adapter.E : adapter.A;
    part.lora_B = adapter.B;
    part.lora_scale = lora_scale;
  }
  return part;
}

LinearPart linear_part(const ParameterMap& parameters, const std::string& module,
                       const AdapterPass& pass) {
  LinearPart part =
      linear_part(parameters, module, pass.config == nullptr ? 0 : pass.config->scale(module));
  if (part.lora_A.defined() && pass.noise.enabled && pass.config->lora_dropout > 0) {
    Rng rng(pass.noise.seed, "lora_dropout." + module);
    part.lora_dropout = {pass.config->lora_dropout, rng.next()};
  }
  return part;
}

std::vector<std::string> adapted_modules(const ParameterMap& parameters) {
  std::set<std::string> modules;
  for (const auto& [name, tensor] : parameters) {
    const std::string module = module_of(name);
    if (!module.empty()) modules.insert(module);
  }
  return {modules.begin(), modules.end()};
}

bool takes_adapter(const std::string& module) {
  return !kNotLinear.contains(module.substr(module.rfind('.') + 1));
}

std::vector<std::string> target_modules_of(const ParameterMap& parameters,
                                           const LoraConfig& config) {
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : parameters) {
    if (!name.ends_with(kWeight) || is_adapter_parameter(name) || tensor.dim() != 2) continue;
    const std::string module = name.substr(0, name.size() - kWeight.size());
    if (!is_target(module, config)) continue;
    CHECK(takes_adapter(module), kUsage,
          "LoRA: target module \"{}\": embeddings and the head take no adapter here", module);
    modules.push_back(module);
  }
  return modules;
}

void attach_lora(ParameterMap& parameters, const LoraConfig& config, uint64_t seed) {
  check_config(config);
  if (config.r == 0) return;
  const std::vector<std::string> modules = target_modules_of(parameters, config);
  CHECK(!modules.empty(), kUsage,
        "LoRA: no linear layer of the model matches the target modules: {}",
        fmt::join(config.target_modules, " "));
  freeze_all(parameters);
  for (const std::string& module : modules) {
    CHECK(config.rank(module) > 0, kUsage, "LoRA: rank_pattern of \"{}\": expected a positive rank",
          module);
    attach_pair(parameters, module, config, seed);
  }
  for (auto& [name, tensor] : parameters) {
    if (!module_of(name).empty()) tensor.requires_grad_(true);
  }
}

void widen_adapted_weights(ParameterMap& parameters) {
  const at::NoGradGuard no_grad;
  for (const std::string& module : adapted_modules(parameters)) {
    const auto weight = parameters.find(module + kWeight);
    CHECK(weight != parameters.end(), kModel, "LoRA: the model has no module \"{}\"", module);
    weight->second = widened(weight->second);
  }
}

void merge_lora(ParameterMap& parameters, const LoraConfig& config) {
  const at::NoGradGuard no_grad;
  widen_adapted_weights(parameters);
  for (const std::string& module : adapted_modules(parameters)) {
    const AdapterTensors adapter = adapter_tensors(parameters, module);
    const at::Tensor inner = adapter.E.defined() ? adapter.A * adapter.E : adapter.A;
    parameters.at(module + kWeight).add_(at::mm(adapter.B, inner), config.scale(module));
    for (const std::string& suffix : kSuffixes) parameters.erase(module + suffix);
  }
}

}  // namespace etrlrec
