#include "models/llm_adapters.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

constexpr int64_t kProbeRows = 2, kProbeTokens = 48;

LoadedAdapter load(AdapterSet& adapters, ParameterMap& parameters, const at::Tensor& embed_tokens,
                   const std::filesystem::path& folder) {
  const std::string name = (folder / "adapter_config.json").string();
  LoadedAdapter loaded;
  loaded.peft_type = get<std::string>(read_json(name), "peft_type", name);
  if (loaded.peft_type == "PROMPT_TUNING") {
    loaded.prompt = load_prompt(parameters, embed_tokens, folder);
    loaded.virtual_tokens = virtual_token_ids(embed_tokens.size(0), loaded.prompt);
    return loaded;
  }
  CHECK(loaded.peft_type == "LORA" || loaded.peft_type == "ADALORA", kModel,
        "{}: expected peft_type LORA, ADALORA or PROMPT_TUNING, found {}", name, loaded.peft_type);
  adapters.load(folder);
  return loaded;
}

TokenForest random_rows(int64_t vocab_size, int64_t length) {
  TokenForest rows;
  Rng rng(1, "merge");
  for (int64_t row = 0; row < kProbeRows; ++row) {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < length; ++t)
      ids.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(vocab_size))));
    rows.add(-1, ids);
  }
  return rows;
}

}  // namespace

LoadedAdapter load_adapter(Llm& model, const std::filesystem::path& folder) {
  return load(model.adapters(), model.parameters(),
              model.parameters().at("model.embed_tokens.weight"), folder);
}

LoadedAdapter load_adapter(T5& model, const std::filesystem::path& folder) {
  return load(model.adapters(), model.parameters(), model.parameters().at("shared.weight"), folder);
}

void attach_prompt(Llm& model, const PromptTuningConfig& config, uint64_t seed) {
  attach_prompt(model.parameters(), model.parameters().at("model.embed_tokens.weight"), config,
                seed);
}

double merge_adapter(Llm& model) {
  const at::NoGradGuard no_grad;
  const TokenForest rows = random_rows(
      model.config().vocab_size, std::min(kProbeTokens, model.config().max_position_embeddings));
  return model.adapters().merge_verified(
      [&] { return weight_product(model.hidden_states(rows), model.head_weight()); });
}

double merge_adapter(T5& model) {
  const at::NoGradGuard no_grad;
  const TokenForest rows = random_rows(model.config().vocab_size, kProbeTokens);
  const std::vector<int64_t> sources{0, 1};
  return model.adapters().merge_verified([&] {
    return weight_product(model.decode(rows, model.encode(rows), sources), model.head_weight());
  });
}

}  // namespace etrlrec
