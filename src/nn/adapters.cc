#include "nn/adapters.h"

#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

const std::string kPrefix = "base_model.model.";
const std::string kA = ".lora_A.weight", kB = ".lora_B.weight", kWeight = ".weight";

// The last component of a module name: "model.layers.0.self_attn.q_proj" -> "q_proj".
std::string last_component(const std::string& module) {
  const size_t dot = module.rfind('.');
  return dot == std::string::npos ? module : module.substr(dot + 1);
}

// Linear layers but the head: "…_proj" of decoders, the short names of T5.
bool is_linear(const std::string& module) {
  static const std::set<std::string> t5{"q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"};
  return module.ends_with("_proj") || t5.contains(last_component(module));
}

bool is_target(const std::string& module, const LoraConfig& config) {
  if (config.target_modules.empty()) return is_linear(module);
  for (const std::string& target : config.target_modules) {
    if (module == target || module.ends_with("." + target)) return true;
  }
  return false;
}

// Modules "<name>" whose "<name>.weight" is a matrix that the configuration selects.
std::vector<std::string> target_modules_of(const ParameterMap& parameters,
                                           const LoraConfig& config) {
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : parameters) {
    if (!name.ends_with(kWeight) || is_adapter_parameter(name) || tensor.dim() != 2) continue;
    const std::string module = name.substr(0, name.size() - kWeight.size());
    if (is_target(module, config)) modules.push_back(module);
  }
  return modules;
}

void freeze_all(ParameterMap& parameters) {
  for (auto& [name, tensor] : parameters) {
    CHECK(!is_adapter_parameter(name), kUsage, "adapter: the model has one already (\"{}\")", name);
    tensor.requires_grad_(false);
  }
}

void check_config(const LoraConfig& config) {
  CHECK(config.r >= 0, kUsage, "LoRA: expected a rank of at least 0, found {}", config.r);
  CHECK(config.lora_alpha > 0, kUsage, "LoRA: expected a positive alpha, found {}",
        config.lora_alpha);
}

// Options of PEFT that change the result and are not supported, by name.
void refuse_unsupported(const Json& json, const std::string& name) {
  const std::string type = get<std::string>(json, "peft_type", name);
  CHECK(type == "LORA", kModel, "{}: expected peft_type LORA, found {}", name, type);
  for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "use_bdlora"}) {
    CHECK(!get_or<bool>(json, key, false, name), kModel, "{}: \"{}\" is not supported", name, key);
  }
  CHECK(get_or<std::string>(json, "bias", "none", name) == "none", kModel,
        "{}: \"bias\" is not supported, expected none", name);
  for (const char* key : {"rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication",
                          "layers_to_transform", "trainable_token_indices", "target_parameters"}) {
    CHECK(!json.contains(key) || json[key].is_null() || json[key].empty(), kModel,
          "{}: \"{}\" is not supported", name, key);
  }
}

}  // namespace

double LoraConfig::scale() const {
  if (r == 0) return 0;
  return lora_alpha / (use_rslora ? std::sqrt(static_cast<double>(r)) : static_cast<double>(r));
}

bool is_adapter_parameter(const std::string& name) {
  return name.ends_with(kA) || name.ends_with(kB);
}

void attach_lora(ParameterMap& parameters, const LoraConfig& config, uint64_t seed) {
  check_config(config);
  if (config.r == 0) return;
  const std::vector<std::string> modules = target_modules_of(parameters, config);
  std::string targets;
  for (const std::string& target : config.target_modules) targets += " " + target;
  CHECK(!modules.empty(), kUsage,
        "LoRA: no linear layer of the model matches the target modules:{}", targets);
  freeze_all(parameters);
  for (const std::string& module : modules) {
    const at::Tensor& weight = parameters.at(module + kWeight);
    at::Tensor a = at::empty({config.r, weight.size(1)}, at::kFloat);
    Rng rng(seed, "lora." + module);
    // Kaiming uniform with a = sqrt(5), as PEFT initialises: bound 1 / sqrt(in)
    const double bound = 1.0 / std::sqrt(static_cast<double>(weight.size(1)));
    float* values = a.data_ptr<float>();
    for (int64_t i = 0; i < a.numel(); ++i) {
      values[i] = static_cast<float>((2 * rng.uniform() - 1) * bound);
    }
    parameters[module + kA] = a.requires_grad_(true);
    parameters[module + kB] =
        at::zeros({weight.size(0), config.r}, at::kFloat).requires_grad_(true);
  }
}

void merge_lora(ParameterMap& parameters, const LoraConfig& config) {
  const at::NoGradGuard no_grad;
  for (auto it = parameters.begin(); it != parameters.end();) {
    if (!it->first.ends_with(kA)) {
      ++it;
      continue;
    }
    const std::string module = it->first.substr(0, it->first.size() - kA.size());
    const auto b = parameters.find(module + kB);
    const auto weight = parameters.find(module + kWeight);
    CHECK(b != parameters.end() && weight != parameters.end(), kModel,
          "LoRA: adapter of \"{}\" is incomplete", module);
    weight->second.add_(at::mm(b->second, it->second), config.scale());
    parameters.erase(b);
    it = parameters.erase(parameters.find(module + kA));
  }
}

void save_lora(const ParameterMap& parameters, const LoraConfig& config,
               const std::string& base_model, const std::filesystem::path& folder) {
  ParameterMap tensors;
  std::set<std::string> targets;
  for (const auto& [name, tensor] : parameters) {
    if (!is_adapter_parameter(name)) continue;
    tensors[kPrefix + name] = tensor;
    targets.insert(last_component(name.substr(0, name.size() - kA.size())));
  }
  CHECK(!tensors.empty(), kUsage, "LoRA: the model has no adapter to save");
  OrderedJson json;
  json["base_model_name_or_path"] = base_model;
  json["bias"] = "none";
  json["fan_in_fan_out"] = false;
  json["inference_mode"] = true;
  json["init_lora_weights"] = true;
  json["lora_alpha"] = config.lora_alpha;
  json["lora_dropout"] = 0.0;
  json["modules_to_save"] = nullptr;
  json["peft_type"] = "LORA";
  json["r"] = config.r;
  json["target_modules"] = targets;
  json["task_type"] = "CAUSAL_LM";
  json["use_dora"] = false;
  json["use_rslora"] = config.use_rslora;
  std::filesystem::create_directories(folder);
  save_safetensors(tensors, folder / "adapter_model.safetensors");
  write_json_atomic(folder / "adapter_config.json", json);
}

LoraConfig load_lora(ParameterMap& parameters, const std::filesystem::path& folder) {
  const std::string name = (folder / "adapter_config.json").string();
  const Json json = read_json(name);
  refuse_unsupported(json, name);
  LoraConfig config;
  config.r = get<int64_t>(json, "r", name);
  config.lora_alpha = get<double>(json, "lora_alpha", name);
  config.use_rslora = get_or<bool>(json, "use_rslora", false, name);
  CHECK(config.r > 0, kInput, "{}: expected a positive r, found {}", name, config.r);
  const std::string path = (folder / "adapter_model.safetensors").string();
  std::set<std::string> targets, modules;
  ParameterMap pairs;
  for (auto& [file_name, tensor] : load_safetensors(path)) {
    CHECK(file_name.starts_with(kPrefix) && is_adapter_parameter(file_name), kInput,
          "{}: expected tensors {}….lora_A.weight and lora_B.weight, found \"{}\"", path, kPrefix,
          file_name);
    const std::string own = file_name.substr(kPrefix.size());
    const std::string module = own.substr(0, own.size() - kA.size());
    const auto weight = parameters.find(module + kWeight);
    CHECK(weight != parameters.end(), kModel, "{}: the model has no module \"{}\"", path, module);
    const bool is_a = own.ends_with(kA);
    const std::vector<int64_t> shape = is_a
                                           ? std::vector<int64_t>{config.r, weight->second.size(1)}
                                           : std::vector<int64_t>{weight->second.size(0), config.r};
    CHECK(tensor.sizes() == shape, kModel, "{}: \"{}\" expected shape [{}, {}]", path, own,
          shape[0], shape[1]);
    pairs[own] = tensor.to(at::kFloat);
    targets.insert(last_component(module));
    modules.insert(module);
  }
  CHECK(!pairs.empty() && pairs.size() == 2 * modules.size(), kInput,
        "{}: expected lora_A and lora_B of every module", path);
  freeze_all(parameters);
  for (auto& [own, tensor] : pairs) parameters[own] = tensor.requires_grad_(true);
  config.target_modules.assign(targets.begin(), targets.end());
  return config;
}

}  // namespace etrlrec
