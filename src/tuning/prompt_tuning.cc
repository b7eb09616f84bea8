#include "tuning/prompt_tuning.h"

#include <ATen/ATen.h>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "nn/safetensors.h"
#include "nn/weight.h"
#include "tuning/adapter_files.h"

namespace etrlrec {
namespace {

const std::string kName = "prompt_embeddings";

}  // namespace

std::string prompt_parameter(const std::string& name) {
  return name == "default" ? kName : kName + "." + name;
}

at::Tensor new_prompt(const at::Tensor& embed_tokens, const PromptTuningConfig& config,
                      uint64_t seed, const std::string& name) {
  const int64_t rows = config.num_rows();
  CHECK(config.num_virtual_tokens > 0 && config.num_transformer_submodules > 0, kUsage,
        "prompt tuning: expected at least one virtual token, found {}", config.num_virtual_tokens);
  const std::string& start = config.prompt_tuning_init;
  CHECK(start == "RANDOM" || start == "SAMPLE_VOCAB" || start == "TEXT", kUsage,
        "unknown prompt_tuning_init \"{}\"; known: RANDOM, SAMPLE_VOCAB, TEXT", start);
  CHECK(start != "TEXT" || !config.init_ids.empty(), kUsage,
        "prompt_tuning_init TEXT: expected a text of at least one token");
  const at::NoGradGuard no_grad;
  Rng rng(seed, prompt_parameter(name));
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
  return prompt;
}

std::vector<int64_t> virtual_token_ids(int64_t first, const PromptTuningConfig& config) {
  std::vector<int64_t> ids;
  for (int64_t k = 0; k < config.num_virtual_tokens; ++k) ids.push_back(first + k);
  return ids;
}

PromptTuningConfig read_prompt_config(const std::filesystem::path& folder) {
  const std::string name = (folder / "adapter_config.json").string();
  const Json json = read_json(name);
  PromptTuningConfig config;
  if (get<std::string>(json, "peft_type", name) != "PROMPT_TUNING") return config;
  CHECK(!json.contains("modules_to_save") || json["modules_to_save"].empty(), kModel,
        "{}: \"modules_to_save\" is not supported", name);
  config.num_virtual_tokens = get<int64_t>(json, "num_virtual_tokens", name);
  config.num_transformer_submodules = get_or<int64_t>(json, "num_transformer_submodules", 1, name);
  CHECK(config.num_virtual_tokens > 0 && config.num_virtual_tokens < (1 << 20) &&
            config.num_transformer_submodules > 0 && config.num_transformer_submodules <= 2,
        kInput, "{}: expected positive numbers of virtual tokens and submodules, found {} and {}",
        name, config.num_virtual_tokens, config.num_transformer_submodules);
  return config;
}

void write_prompt(const SavedPrompt& prompt, const std::string& base_model,
                  const std::filesystem::path& folder, const std::string& task_type) {
  OrderedJson json;
  json["base_model_name_or_path"] = base_model;
  json["inference_mode"] = true;
  json["num_transformer_submodules"] = prompt.config.num_transformer_submodules;
  json["num_virtual_tokens"] = prompt.config.num_virtual_tokens;
  json["peft_type"] = "PROMPT_TUNING";
  json["prompt_tuning_init"] = "RANDOM";  // the start does not matter any more
  json["task_type"] = task_type;
  json["token_dim"] = prompt.rows.size(1);
  std::filesystem::create_directories(folder);
  save_safetensors({{kName, prompt.rows}}, folder / "adapter_model.safetensors");
  write_json_atomic(folder / "adapter_config.json", json);
}

SavedPrompt read_prompt(const std::filesystem::path& folder, int64_t width) {
  const PromptTuningConfig config = read_prompt_config(folder);
  CHECK(config.num_virtual_tokens > 0, kModel, "{}: expected peft_type PROMPT_TUNING",
        (folder / "adapter_config.json").string());
  const std::string path = adapter_weights_file(folder).string();
  const ParameterMap tensors = load_safetensors(path);
  CHECK(tensors.size() == 1 && tensors.contains(kName), kInput,
        "{}: expected the tensor \"{}\" alone", path, kName);
  const at::Tensor& rows = tensors.at(kName);
  CHECK(rows.dim() == 2 && rows.size(0) == config.num_rows() && rows.size(1) == width, kModel,
        "{}: \"{}\": expected shape [{}, {}]", path, kName, config.num_rows(), width);
  return {config, rows.to(at::kFloat)};
}

}  // namespace etrlrec
