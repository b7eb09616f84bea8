#include "models/model_adapters.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "nn/weight.h"
#include "tuning/adapter_files.h"

namespace etrlrec {
namespace {

constexpr int64_t kProbeRows = 2, kProbeTokens = 48;

// Rows of random tokens; with an encoder they are read, and other ones are written.
TokenForest random_rows(const LanguageModel& model) {
  const int64_t length = std::min(kProbeTokens, model.max_length());
  Rng rng(1, "merge");
  const auto draw = [&] {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < length; ++t)
      ids.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(model.vocab_size()))));
    return ids;
  };
  TokenForest rows;
  for (int64_t row = 0; row < kProbeRows; ++row) {
    const int64_t root = model.add_prompt(rows, draw());
    if (model.has_encoder()) rows.add(root, draw());
  }
  return rows;
}

}  // namespace

LoadedAdapter load_adapter(LanguageModel& model, const std::filesystem::path& folder,
                           const std::string& name) {
  const std::string file = (folder / "adapter_config.json").string();
  LoadedAdapter loaded{get<std::string>(read_json(file), "peft_type", file), name, {}};
  if (loaded.peft_type == "PROMPT_TUNING") {
    model.prompts().load(model.embed_tokens(), folder, name);
    loaded.virtual_tokens = model.prompts().ids(model.vocab_size(), name);
    return loaded;
  }
  CHECK(loaded.peft_type == "LORA" || loaded.peft_type == "ADALORA", kModel,
        "{}: expected peft_type LORA, ADALORA or PROMPT_TUNING, found {}", file, loaded.peft_type);
  model.adapters().load(folder, name);
  return loaded;
}

void attach_prompt(LanguageModel& model, const PromptTuningConfig& config, uint64_t seed,
                   const std::string& name) {
  model.prompts().attach(model.embed_tokens(), config, seed, name);
}

std::string task_type(const LanguageModel& model) {
  return model.has_encoder() ? "SEQ_2_SEQ_LM" : "CAUSAL_LM";
}

void save_adapter(const LanguageModel& model, const std::string& base_model,
                  const std::filesystem::path& folder) {
  save_lora(model.parameters(), model.lora(), base_model, folder, task_type(model));
}

void save_prompt(const LanguageModel& model, const std::string& name, const std::string& base_model,
                 const std::filesystem::path& folder) {
  model.prompts().save(name, base_model, folder, task_type(model));
}

double merge_adapter(LanguageModel& model) {
  const at::NoGradGuard no_grad;
  const TokenForest rows = random_rows(model);
  const auto logits = [&] {
    return weight_product(model.hidden_states(rows), model.head_weight(), model.numerics());
  };
  const Arithmetic usual = model.numerics().arithmetic;
  if (usual == Arithmetic::kBFloat16) model.set_arithmetic(Arithmetic::kFloat);
  const double difference = model.adapters().merge_verified(logits);
  model.set_arithmetic(usual);
  return difference;
}

}  // namespace etrlrec
