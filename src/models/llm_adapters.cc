#include "models/llm_adapters.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "nn/prompt_tuning.h"

namespace etrlrec {
namespace {

constexpr int64_t kProbeRows = 2, kProbeTokens = 48;

}  // namespace

std::vector<int64_t> load_adapter(Llm& model, const std::filesystem::path& folder) {
  const std::string name = (folder / "adapter_config.json").string();
  const auto type = get<std::string>(read_json(name), "peft_type", name);
  if (type == "PROMPT_TUNING") {
    ParameterMap& parameters = model.parameters();
    const PromptTuningConfig config =
        load_prompt(parameters, parameters.at("model.embed_tokens.weight"), folder);
    return virtual_token_ids(model.config().vocab_size, config);
  }
  CHECK(type == "LORA" || type == "ADALORA", kModel,
        "{}: expected peft_type LORA, ADALORA or PROMPT_TUNING, found {}", name, type);
  model.load_lora(folder);
  return {};
}

double merge_adapter(Llm& model) {
  const at::NoGradGuard no_grad;
  TokenForest probe;
  Rng rng(1, "merge");
  const int64_t length = std::min(kProbeTokens, model.config().max_position_embeddings);
  for (int64_t row = 0; row < kProbeRows; ++row) {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < length; ++t)
      ids.push_back(
          static_cast<int64_t>(rng.below(static_cast<uint64_t>(model.config().vocab_size))));
    probe.add(-1, ids);
  }
  return model.adapters().merge_verified(
      [&] { return at::mm(model.hidden_states(probe), model.head_weight().t()); });
}

}  // namespace etrlrec
