#include "method/text_model.h"

#include "base/check.h"
#include "models/llm_adapters.h"
#include "text/begin_tokens.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {

TextModel::TextModel(const std::filesystem::path& folder, const std::string& dtype,
                     const std::string& adapter)
    : folder_(folder),
      adapter_(adapter),
      is_t5_(std::filesystem::exists(folder / "config.json") && is_t5_folder(folder)) {
  const int64_t virtual_tokens = adapter.empty() ? 0 : saved_virtual_tokens(adapter);
  if (!is_t5_) {
    loaded_ = open_model_folder(folder, "", dtype);
    eos_ids_ = loaded_.config.eos_token_ids;
    if (virtual_tokens == 0) return;
    CHECK(loaded_.virtual_tokens.empty(), kUsage, "--adapter: {} has a trained prompt of its own",
          folder.string());
    loaded_.virtual_tokens = virtual_token_ids(loaded_.config.vocab_size, {virtual_tokens});
    return;
  }
  CHECK(dtype == "float32", kUsage,
        "--dtype {}: encoder-decoder models are computed in float32 only", dtype);
  t5_config_ = read_t5_config(folder);
  loaded_.tokenizer = load_tokenizer(folder);
  CHECK(loaded_.tokenizer->vocab_size() <= t5_config_.vocab_size, kModel,
        "{}: tokenizer has {} tokens, the model only {}", folder.string(),
        loaded_.tokenizer->vocab_size(), t5_config_.vocab_size);
  eos_ids_ = t5_config_.eos_token_ids;
  if (virtual_tokens > 0)
    loaded_.virtual_tokens = virtual_token_ids(t5_config_.vocab_size, {virtual_tokens});
}

std::vector<int64_t> TextModel::behind_virtual_tokens(const std::vector<int64_t>& ids) const {
  std::vector<int64_t> all = loaded_.virtual_tokens;
  all.insert(all.end(), ids.begin(), ids.end());
  return all;
}

std::vector<int64_t> TextModel::encode(const std::string& text) const {
  std::vector<int64_t> ids;
  if (!is_t5_) ids = begin_tokens(folder_, *loaded_.tokenizer);
  const auto rest = loaded_.tokenizer->encode(text);
  ids.insert(ids.end(), rest.begin(), rest.end());
  CHECK(!ids.empty(), kUsage, "--prompt: expected a text, found none");
  if (is_t5_) ids.push_back(loaded_.tokenizer->eos_id());
  return behind_virtual_tokens(ids);
}

void TextModel::add_to(const RolloutLoad& load, MemoryEstimate& estimate) const {
  if (is_t5_) {
    add_weights(t5_config_, estimate);
    add_rollouts(t5_config_, load, estimate);
  } else {
    add_weights(loaded_.config, estimate, loaded_.storage);
    add_rollouts(loaded_.config, load, estimate, loaded_.storage);
  }
}

void TextModel::load() {
  if (is_t5_) {
    t5_ = load_t5(folder_);
    if (!adapter_.empty()) load_adapter(*t5_, adapter_);
    t5_steps_ = std::make_unique<T5Steps>(*t5_);
  } else {
    load_weights_of(folder_, loaded_);
    if (!adapter_.empty()) load_adapter(*loaded_.llm, adapter_);
  }
}

const StepModel& TextModel::steps() const {
  if (is_t5_) return *t5_steps_;
  return *loaded_.llm;
}

}  // namespace etrlrec
