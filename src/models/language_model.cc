#include "models/language_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>

#include "base/check.h"

namespace etrlrec {

ModelStamp::ModelStamp(uint64_t model, const ParameterMap& parameters, std::string adapter)
    : model_(model), adapter_(std::move(adapter)) {
  for (const auto& [name, tensor] : parameters) {
    tensors_.emplace_back(tensor.getIntrusivePtr());
    versions_.push_back(static_cast<int64_t>(tensor._version()));
  }
}

bool operator==(const ModelStamp& a, const ModelStamp& b) {
  return a.model_ == b.model_ && a.adapter_ == b.adapter_ && a.versions_ == b.versions_ &&
         std::equal(a.tensors_.begin(), a.tensors_.end(), b.tensors_.begin(), b.tensors_.end());
}

LanguageModel::LanguageModel(Storage storage, const Numerics& numerics)
    : storage_(storage), numerics_(numerics) {
  static std::atomic<uint64_t> next{1};
  id_ = next++;
}

int64_t LanguageModel::num_parameters() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters_)
    if (!is_adapter_parameter(name)) count += tensor.numel();
  return count;
}

void LanguageModel::set_training_noise(const TrainingNoise& noise) {
  CHECK(!noise.enabled, kUsage, "language model: this type has no noise of training");
}

void check_hidden_dropout(const LanguageModel& model, double rate) {
  CHECK(rate == 0 || !model.has_encoder(), kUsage, "hidden dropout: is for decoders, found {}",
        model.type());
}

ModelStamp LanguageModel::stamp() const {
  return {id_, parameters_, adapters_.is_enabled() ? adapters_.selected() : ""};
}

int64_t LanguageModel::add_prompt(TokenForest& forest, std::span<const int64_t> prompt) const {
  const PromptParts parts = prompt_parts(prompt);
  return forest.add(-1, parts.text, parts.source);
}

at::Tensor LanguageModel::hidden_states_at(const TokenForest& forest,
                                           std::span<const int64_t> rows) const {
  return hidden_states(forest).index_select(
      0, at::tensor(at::ArrayRef<int64_t>(rows.data(), rows.size()), at::kLong));
}

std::unique_ptr<KvCache> LanguageModel::prefill(const TokenForest& prompts,
                                                std::span<const int64_t> segment_of_row,
                                                int64_t capacity, at::Tensor& last_hidden) const {
  auto cache = new_cache(static_cast<int64_t>(segment_of_row.size()), capacity);
  admit(*cache, prompts, segment_of_row, last_hidden);
  return cache;
}

}  // namespace etrlrec
