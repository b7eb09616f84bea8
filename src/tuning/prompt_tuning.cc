#include "tuning/prompt_tuning.h"

#include <ATen/ATen.h>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "nn/safetensors.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

const std::string kName = "prompt_embeddings";

void add_prompt(ParameterMap& parameters, const at::Tensor& prompt) {
  CHECK(!parameters.contains(kName), kUsage, "prompt tuning: the model has a prompt already");
  for (auto& [name, tensor] : parameters) tensor.requires_grad_(false);
  parameters[kName] = at::Tensor(prompt).requires_grad_(true);
}

}  // namespace

void attach_prompt(ParameterMap& parameters, const at::Tensor& embed_tokens,
                   const PromptTuningConfig& config, uint64_t seed) {
  const int64_t rows = config.num_virtual_tokens * config.num_transformer_submodules;
  CHECK(config.num_virtual_tokens > 0 && config.num_transformer_submodules > 0, kUsage,
        "prompt tuning: expected at least one virtual token, found {}", config.num_virtual_tokens);
  const std::string& start = config.prompt_tuning_init;
  CHECK(start == "RANDOM" || start == "SAMPLE_VOCAB" || start == "TEXT", kUsage,
        "unknown prompt_tuning_init \"{}\"; known: RANDOM, SAMPLE_VOCAB, TEXT", start);
  CHECK(start != "TEXT" || !config.init_ids.empty(), kUsage,
        "prompt_tuning_init TEXT: expected a text of at least one token");
  const at::NoGradGuard no_grad;
  Rng rng(seed, kName);
  at::Tensor prompt = at::empty({rows, embed_tokens.size(1)}, at::kFloat);
  for (int64_t row = 0; row < rows; ++row) {
    if (start == "RANDOM") {
      float* values = prompt[row].data_ptr<float>();
      for (int64_t c = 0; c < prompt.size(1); ++c) values[c] = static_cast<float>(rng.normal());
      continue;
    }
    const auto vocab = static_cast<uint64_t>(embed_tokens.size(0));
    const int64_t id = start == "TEXT"
                           ? config.init_ids[static_cast<size_t>(row) % config.init_ids.size()]
                           : static_cast<int64_t>(rng.below(vocab));
    CHECK(id >= 0 && id < embed_tokens.size(0), kInput,
          "prompt tuning: expected token ids in [0, {}), found {}", vocab, id);
    prompt[row].copy_(weight_rows(embed_tokens, at::tensor({id}, at::kLong))[0]);
  }
  add_prompt(parameters, prompt);
}

std::vector<int64_t> virtual_token_ids(int64_t vocab_size, const PromptTuningConfig& config) {
  std::vector<int64_t> ids;
  for (int64_t k = 0; k < config.num_virtual_tokens; ++k) ids.push_back(vocab_size + k);
  return ids;
}

int64_t num_virtual_tokens(const ParameterMap& parameters) {
  const auto prompt = parameters.find("prompt_embeddings");
  return prompt == parameters.end() ? 0 : prompt->second.size(0);
}

int64_t saved_virtual_tokens(const std::filesystem::path& folder) {
  const std::string name = (folder / "adapter_config.json").string();
  const Json json = read_json(name);
  if (get<std::string>(json, "peft_type", name) != "PROMPT_TUNING") return 0;
  const auto count = get<int64_t>(json, "num_virtual_tokens", name);
  CHECK(count > 0 && count < (1 << 20), kInput,
        "{}: num_virtual_tokens: expected a positive number, found {}", name, count);
  return count;
}

void save_prompt(const ParameterMap& parameters, const PromptTuningConfig& config,
                 const std::string& base_model, const std::filesystem::path& folder,
                 const std::string& task_type) {
  const auto prompt = parameters.find(kName);
  CHECK(prompt != parameters.end(), kUsage, "prompt tuning: the model has no prompt to save");
  OrderedJson json;
  json["base_model_name_or_path"] = base_model;
  json["inference_mode"] = true;
  json["num_transformer_submodules"] = config.num_transformer_submodules;
  json["num_virtual_tokens"] = config.num_virtual_tokens;
  json["peft_type"] = "PROMPT_TUNING";
  json["prompt_tuning_init"] = "RANDOM";  // the start does not matter any more
  json["task_type"] = task_type;
  json["token_dim"] = prompt->second.size(1);
  std::filesystem::create_directories(folder);
  save_safetensors({{kName, prompt->second}}, folder / "adapter_model.safetensors");
  write_json_atomic(folder / "adapter_config.json", json);
}

PromptTuningConfig load_prompt(ParameterMap& parameters, const at::Tensor& embed_tokens,
                               const std::filesystem::path& folder) {
  const std::string name = (folder / "adapter_config.json").string();
  const Json json = read_json(name);
  const auto type = get<std::string>(json, "peft_type", name);
  CHECK(type == "PROMPT_TUNING", kModel, "{}: expected peft_type PROMPT_TUNING, found {}", name,
        type);
  CHECK(!json.contains("modules_to_save") || json["modules_to_save"].empty(), kModel,
        "{}: \"modules_to_save\" is not supported", name);
  PromptTuningConfig config;
  config.num_virtual_tokens = get<int64_t>(json, "num_virtual_tokens", name);
  config.num_transformer_submodules = get_or<int64_t>(json, "num_transformer_submodules", 1, name);
  CHECK(config.num_virtual_tokens > 0 && config.num_virtual_tokens < (1 << 20) &&
            config.num_transformer_submodules > 0 && config.num_transformer_submodules <= 2,
        kInput, "{}: expected positive numbers of virtual tokens and submodules, found {} and {}",
        name, config.num_virtual_tokens, config.num_transformer_submodules);
  const std::string path = (folder / "adapter_model.safetensors").string();
  const ParameterMap tensors = load_safetensors(path);
  CHECK(tensors.size() == 1 && tensors.contains(kName), kInput,
        "{}: expected the tensor \"{}\" alone", path, kName);
  const at::Tensor& prompt = tensors.at(kName);
  const int64_t rows = config.num_virtual_tokens * config.num_transformer_submodules;
  CHECK(prompt.dim() == 2 && prompt.size(0) == rows && prompt.size(1) == embed_tokens.size(1),
        kModel, "{}: \"{}\": expected shape [{}, {}]", path, kName, rows, embed_tokens.size(1));
  add_prompt(parameters, prompt.to(at::kFloat));
  return config;
}

}  // namespace etrlrec
