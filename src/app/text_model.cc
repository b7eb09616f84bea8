#include "app/text_model.h"

#include "base/check.h"
#include "text/begin_tokens.h"

namespace etrlrec {

TextModel::TextModel(const std::filesystem::path& folder, const std::string& dtype)
    : folder_(folder),
      is_t5_(std::filesystem::exists(folder / "config.json") && is_t5_folder(folder)) {
  if (!is_t5_) {
    loaded_ = open_model_folder(folder, "", dtype);
    eos_ids_ = loaded_.config.eos_token_ids;
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
}

std::vector<int64_t> TextModel::encode(const std::string& text) const {
  std::vector<int64_t> ids;
  if (!is_t5_) ids = begin_tokens(folder_, *loaded_.tokenizer);
  const auto rest = loaded_.tokenizer->encode(text);
  ids.insert(ids.end(), rest.begin(), rest.end());
  CHECK(!ids.empty(), kUsage, "--prompt: expected a text, found none");
  if (is_t5_) ids.push_back(loaded_.tokenizer->eos_id());
  return ids;
}

void TextModel::add_to(const RolloutLoad& load, MemoryEstimate& estimate) const {
  if (is_t5_) {
    add_weights(t5_config_, estimate);
    add_rollouts(t5_config_, load, estimate);
  } else {
    add_weights(loaded_.config, estimate, loaded_.storage);
    add_rollouts(loaded_.config, load, estimate);
  }
}

void TextModel::load(const std::string& adapter) {
  if (is_t5_) {
    t5_ = load_t5(folder_);
    if (!adapter.empty()) t5_->load_lora(adapter);
    t5_steps_ = std::make_unique<T5Steps>(*t5_);
  } else {
    loaded_.llm = load_llm(folder_, loaded_.storage);
    if (!adapter.empty()) loaded_.llm->load_lora(adapter);
  }
}

const StepModel& TextModel::steps() const {
  if (is_t5_) return *t5_steps_;
  return *loaded_.llm;
}

}  // namespace etrlrec
