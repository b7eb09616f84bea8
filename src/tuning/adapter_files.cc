#include "tuning/adapter_files.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

const std::string kPrefix = "base_model.model.";
constexpr const char* kMergeHint =
    "\nhint: merge this adapter with PEFT (merge_and_unload, save_pretrained) and load the merged "
    "model";

// Fields that are read, and fields that change training or loading only, so that the file's tensors
// mean the same with any value of them.
const std::set<std::string> kRead{"peft_type",    "r",
                                  "init_r",       "lora_alpha",
                                  "lora_dropout", "use_rslora",
                                  "rank_pattern", "target_r",
                                  "tinit",        "tfinal",
                                  "deltaT",       "beta1",
                                  "beta2",        "orth_reg_weight",
                                  "total_step",   "alpha_pattern",
                                  "bias",         "init_lora_weights"};
const std::set<std::string> kHarmless{"auto_mapping",
                                      "base_model_name_or_path",
                                      "corda_config",
                                      "ensure_weight_tying",
                                      "eva_config",
                                      "exclude_modules",
                                      "inference_mode",
                                      "layers_pattern",
                                      "layers_to_transform",
                                      "loftq_config",
                                      "lora_ga_config",
                                      "megatron_config",
                                      "megatron_core",
                                      "peft_version",
                                      "qalora_group_size",
                                      "revision",
                                      "runtime_config",
                                      "target_modules",
                                      "task_type"};
// Starts that leave the base model as it is; the others ("pissa", "olora" …) change its weights.
const std::set<std::string> kPlainStarts{"true", "false", "\"gaussian\"", "\"orthogonal\"",
                                         "\"eva\""};

bool is_default(const Json& value) {
  return value.is_null() || value == false ||
         ((value.is_structured() || value.is_string()) && value.empty());
}

// PEFT has many variants of LoRA, each switched on by a field of its own: a field that is neither
// known nor empty is refused by name.
void check_fields(const Json& json, const std::string& name) {
  for (const auto& [key, value] : json.items()) {
    CHECK(kRead.contains(key) || kHarmless.contains(key) || is_default(value), kModel,
          "{}: \"{}\" is not supported, found {}{}", name, key, value.dump(), kMergeHint);
  }
  CHECK(get_or<std::string>(json, "bias", "none", name) == "none", kModel,
        "{}: \"bias\" is not supported, expected none, found {}{}", name, json["bias"].dump(),
        kMergeHint);
  if (json.contains("init_lora_weights") && !json["init_lora_weights"].is_null()) {
    const std::string start = json["init_lora_weights"].dump();
    CHECK(kPlainStarts.contains(start), kModel,
          "{}: \"init_lora_weights\" {} is not supported: it changes the base model{}", name, start,
          kMergeHint);
  }
}

// Keys of PEFT's patterns are regular expressions; plain module names are read.
template <typename T>
std::map<std::string, T> read_pattern(const Json& json, const std::string& key,
                                      const std::string& name) {
  const auto pattern = get_or<std::map<std::string, T>>(json, key, {}, name);
  for (const auto& [module, value] : pattern) {
    const bool plain = std::all_of(module.begin(), module.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '.';
    });
    CHECK(plain && value > 0, kModel,
          "{}: \"{}\": expected module names with positive values, found \"{}\": {}", name, key,
          module, value);
  }
  return pattern;
}

AdaLoraConfig read_adalora(const Json& json, const std::string& name) {
  AdaLoraConfig config;
  config.target_r = get_or(json, "target_r", config.target_r, name);
  config.tinit = get_or(json, "tinit", config.tinit, name);
  config.tfinal = get_or(json, "tfinal", config.tfinal, name);
  config.deltaT = get_or(json, "deltaT", config.deltaT, name);
  config.beta1 = get_or(json, "beta1", config.beta1, name);
  config.beta2 = get_or(json, "beta2", config.beta2, name);
  config.orth_reg_weight = get_or(json, "orth_reg_weight", config.orth_reg_weight, name);
  config.total_step = get_or(json, "total_step", config.total_step, name);
  const auto pattern =
      get_or<std::map<std::string, std::vector<bool>>>(json, "rank_pattern", {}, name);
  for (const auto& [key, kept] : pattern) {
    CHECK(key.ends_with(".lora_E"), kInput,
          "{}: rank_pattern: expected names of lora_E, found \"{}\"", name, key);
    config.rank_pattern[key.substr(0, key.size() - 7)] = kept;
  }
  return config;
}

LoraConfig read_config(const std::string& name) {
  const Json json = read_json(name);
  const auto type = get<std::string>(json, "peft_type", name);
  CHECK(type == "LORA" || type == "ADALORA", kModel,
        "{}: expected peft_type LORA or ADALORA, found {}", name, type);
  check_fields(json, name);
  LoraConfig config;
  if (type == "ADALORA") {
    config.adalora = read_adalora(json, name);
    config.r = get<int64_t>(json, "init_r", name);
  } else {
    config.r = get<int64_t>(json, "r", name);
    config.use_rslora = get_or<bool>(json, "use_rslora", false, name);
    config.rank_pattern = read_pattern<int64_t>(json, "rank_pattern", name);
    config.alpha_pattern = read_pattern<double>(json, "alpha_pattern", name);
  }
  config.lora_alpha = get<double>(json, "lora_alpha", name);
  config.lora_dropout = get_or<double>(json, "lora_dropout", 0, name);
  CHECK(config.r > 0 && config.lora_alpha > 0, kInput,
        "{}: expected a positive rank and lora_alpha, found {} and {}", name, config.r,
        config.lora_alpha);
  CHECK(config.lora_dropout >= 0 && config.lora_dropout < 1, kInput,
        "{}: lora_dropout: expected a value in [0, 1), found {}", name, config.lora_dropout);
  return config;
}

// Ranks that a file must hold for a module.
int64_t stored_rank(const LoraConfig& config, const std::string& module, const std::string& name) {
  if (!config.adalora || config.adalora->rank_pattern.empty()) return config.rank(module);
  const auto kept = config.adalora->rank_pattern.find(module);
  CHECK(kept != config.adalora->rank_pattern.end(), kInput,
        "{}: rank_pattern says nothing about \"{}\"", name, module);
  CHECK(static_cast<int64_t>(kept->second.size()) == config.r, kInput,
        "{}: rank_pattern of \"{}\": expected {} values, found {}", name, module, config.r,
        kept->second.size());
  return std::count(kept->second.begin(), kept->second.end(), true);
}

void check_shapes(const AdapterTensors& adapter, const at::Tensor& weight, int64_t rank,
                  const std::string& module, const std::string& path) {
  const auto expect = [&](const at::Tensor& tensor, const char* what, int64_t rows,
                          int64_t columns) {
    CHECK(tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == columns, kModel,
          "{}: {} of \"{}\": expected shape [{}, {}], found [{}]", path, what, module, rows,
          columns, fmt::join(tensor.sizes().vec(), ", "));
  };
  expect(adapter.A, "lora_A", rank, weight.size(1));
  expect(adapter.B, "lora_B", weight.size(0), rank);
  if (adapter.E.defined()) expect(adapter.E, "lora_E", rank, 1);
}

// The tensors of the file under the model's names, checked against its weights.
ParameterMap read_tensors(const ParameterMap& parameters, const LoraConfig& config,
                          const std::string& path) {
  ParameterMap tensors;
  for (auto& [file_name, tensor] : load_safetensors(path)) {
    const std::string own = file_name.starts_with(kPrefix) ? file_name.substr(kPrefix.size()) : "";
    CHECK(is_adapter_parameter(own) && own.ends_with(".weight") != config.adalora.has_value(),
          kModel,
          "{}: expected LoRA matrices of linear layers ({}…lora_A{}) and nothing else, found "
          "\"{}\"{}",
          path, kPrefix, config.adalora ? "" : ".weight", file_name, kMergeHint);
    tensors[own] = tensor.to(at::kFloat);
  }
  CHECK(!tensors.empty(), kInput, "{}: expected adapter tensors, found none", path);
  for (const std::string& module : adapted_modules(tensors)) {
    const auto weight = parameters.find(module + ".weight");
    CHECK(weight != parameters.end() && weight->second.dim() == 2 && takes_adapter(module), kModel,
          "{}: the model has no linear layer \"{}\" that takes an adapter{}", path, module,
          kMergeHint);
    check_shapes(adapter_tensors(tensors, module), weight->second,
                 stored_rank(config, module, path), module, path);
  }
  return tensors;
}

// Suffixes that select exactly these modules of the model: the last component where all modules of
// that name are adapted, else the whole name.
std::set<std::string> exact_targets(const ParameterMap& parameters,
                                    const std::vector<std::string>& modules) {
  std::set<std::string> targets;
  for (const std::string& module : modules) {
    const std::string last = module.substr(module.rfind('.') + 1);
    LoraConfig probe;
    probe.target_modules = {last};
    const auto selected = target_modules_of(parameters, probe);
    const bool all = std::all_of(selected.begin(), selected.end(), [&](const std::string& other) {
      return std::find(modules.begin(), modules.end(), other) != modules.end();
    });
    targets.insert(all ? last : module);
  }
  return targets;
}

void add_adalora(OrderedJson& json, const LoraConfig& lora) {
  const AdaLoraConfig& config = *lora.adalora;
  json["peft_type"] = "ADALORA";
  json["r"] = 8;  // PEFT ignores it and warns about other values
  json["init_r"] = lora.r;
  json["target_r"] = config.target_r;
  json["tinit"] = config.tinit;
  json["tfinal"] = config.tfinal;
  json["deltaT"] = config.deltaT;
  json["beta1"] = config.beta1;
  json["beta2"] = config.beta2;
  json["orth_reg_weight"] = config.orth_reg_weight;
  json["total_step"] = config.total_step;
  json["rank_pattern"] = nullptr;
  for (const auto& [module, kept] : config.rank_pattern)
    json["rank_pattern"][module + ".lora_E"] = kept;
}

// Kept ranks only.
AdapterTensors pruned(const AdapterTensors& adapter, const std::vector<bool>& kept) {
  std::vector<int64_t> ranks;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) ranks.push_back(static_cast<int64_t>(i));
  }
  // A loaded adapter holds the kept ranks only.
  if (adapter.A.size(0) == static_cast<int64_t>(ranks.size())) return adapter;
  const at::Tensor index = at::tensor(ranks, at::kLong);
  return {adapter.A.index_select(0, index), adapter.B.index_select(1, index),
          adapter.E.index_select(0, index)};
}

}  // namespace

std::filesystem::path adapter_weights_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "adapter_model.safetensors";
  CHECK(std::filesystem::exists(file) || !std::filesystem::exists(folder / "adapter_model.bin"),
        kModel,
        "{}: expected adapter_model.safetensors, found adapter_model.bin, a pickle file that can "
        "run code\nhint: load it with PEFT and save it again (save_pretrained writes safetensors), "
        "or merge it there and load the merged model",
        folder.string());
  return file;
}

void save_lora(const ParameterMap& parameters, const LoraConfig& config,
               const std::string& base_model, const std::filesystem::path& folder,
               const std::string& task_type) {
  const at::NoGradGuard no_grad;
  const std::vector<std::string> modules = adapted_modules(parameters);
  CHECK(!modules.empty(), kUsage, "LoRA: the model has no adapter to save");
  ParameterMap tensors;
  for (const std::string& module : modules) {
    AdapterTensors adapter = adapter_tensors(parameters, module);
    CHECK(adapter.E.defined() == config.adalora.has_value(), kUsage,
          "LoRA: the configuration is not that of the adapter of \"{}\"", module);
    if (config.adalora && !config.adalora->rank_pattern.empty())
      adapter = pruned(adapter, config.adalora->rank_pattern.at(module));
    const std::string end = config.adalora ? "" : ".weight";
    tensors[kPrefix + module + ".lora_A" + end] = adapter.A;
    tensors[kPrefix + module + ".lora_B" + end] = adapter.B;
    if (config.adalora) tensors[kPrefix + module + ".lora_E"] = adapter.E;
  }
  OrderedJson json;
  json["base_model_name_or_path"] = base_model;
  json["bias"] = "none";
  json["fan_in_fan_out"] = false;
  json["inference_mode"] = true;
  json["init_lora_weights"] = true;
  json["lora_alpha"] = config.lora_alpha;
  json["lora_dropout"] = config.lora_dropout;
  json["modules_to_save"] = nullptr;
  json["peft_type"] = "LORA";
  json["r"] = config.r;
  json["rank_pattern"] = config.rank_pattern;
  json["alpha_pattern"] = config.alpha_pattern;
  json["target_modules"] = exact_targets(parameters, modules);
  json["task_type"] = task_type;
  json["use_dora"] = false;
  json["use_rslora"] = config.use_rslora;
  if (config.adalora) add_adalora(json, config);
  std::filesystem::create_directories(folder);
  save_safetensors(tensors, folder / "adapter_model.safetensors");
  write_json_atomic(folder / "adapter_config.json", json);
}

LoraConfig load_lora(ParameterMap& parameters, const std::filesystem::path& folder) {
  LoraConfig config = read_config((folder / "adapter_config.json").string());
  const ParameterMap tensors =
      read_tensors(parameters, config, adapter_weights_file(folder).string());
  const std::vector<std::string> present = adapted_modules(parameters);
  CHECK(present.empty(), kUsage, "adapter: the model has one already (\"{}\")", present.front());
  for (auto& [name, tensor] : parameters) tensor.requires_grad_(false);
  std::set<std::string> targets;
  for (const std::string& module : adapted_modules(tensors))
    targets.insert(module.substr(module.rfind('.') + 1));
  for (const auto& [name, tensor] : tensors)
    parameters[name] = at::Tensor(tensor).requires_grad_(true);
  config.target_modules.assign(targets.begin(), targets.end());
  return config;
}

}  // namespace etrlrec
