// Making, loading and saving of language models in Hugging Face layout.
#include "models/llm.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "base/rng.h"
#include "kernels/attention_bfloat16.h"
#include "nn/frozen_arithmetic.h"
#include "models/decoder.h"
#include "models/weights.h"
#include "nn/safetensors.h"

namespace etrlrec {

AdapterSet& Llm::adapters() {
  fail(ExitCode::kUsage, "language model: this type takes no adapters");
}
void Llm::set_adapter_enabled(bool enabled) { adapters().set_enabled(enabled); }
void Llm::set_training_noise(const TrainingNoise& noise) {
  CHECK(!noise.enabled, kUsage, "language model: this type has no noise of training");
}
const LoraConfig& Llm::lora() const {
  static const LoraConfig none;
  return none;
}

bool LlmConfig::rounds_attention(Storage storage) const {
  return storage != Storage::kFloat && frozen_arithmetic() == Arithmetic::kBFloat16 &&
         can_round_attention(head_dim);
}

int64_t LlmConfig::key_value_bytes(Storage storage) const {
  return 2 * num_hidden_layers * num_key_value_heads * head_dim *
         (rounds_attention(storage) ? 2 : 4);
}

at::Tensor Llm::hidden_states_at(const TokenForest& forest, std::span<const int64_t> rows) const {
  return hidden_states(forest).index_select(
      0, at::tensor(at::ArrayRef<int64_t>(rows.data(), rows.size()), at::kLong));
}

std::unique_ptr<Llm> new_llm(const LlmConfig& config, uint64_t seed) {
  check_llm_config(config, "new language model");
  keep_freed_memory();
  std::unique_ptr<Llm> model = make_decoder(config);
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : model->parameters()) {
    if (name.ends_with("norm.weight")) {
      tensor.fill_(1);
    } else if (name.ends_with(".bias")) {
      tensor.zero_();
    } else {
      Rng rng(seed, "init." + name);
      float* values = tensor.data_ptr<float>();
      for (int64_t i = 0; i < tensor.numel(); ++i) {
        values[i] = static_cast<float>(rng.normal() * config.initializer_range);
      }
    }
  }
  return model;
}

namespace {

void check_fit(const ParameterMap& target, const ParameterMap& source, const std::string& name) {
  std::string problems;  // all of them: one look at the file should be enough
  for (const auto& [key, tensor] : target) {
    if (is_adapter_parameter(key)) continue;
    const auto it = source.find(key);
    if (it == source.end())
      problems += fmt::format("\n  \"{}\" is missing", key);
    else if (it->second.sizes() != tensor.sizes())
      problems += fmt::format("\n  \"{}\": expected shape {}, found {}", key,
                              fmt::join(tensor.sizes().vec(), " x "),
                              fmt::join(it->second.sizes().vec(), " x "));
  }
  for (const auto& [key, tensor] : source) {
    const bool tied_copy = key == "lm_head.weight", derived = key.ends_with("rotary_emb.inv_freq");
    if (!target.contains(key) && !tied_copy && !derived)
      problems += fmt::format("\n  \"{}\" is not of this model", key);
  }
  CHECK(problems.empty(), kModel, "{}: tensors do not fit the configuration:{}", name, problems);
}

// Matrices in their storage type, as views of the file where they have it already; copies of
// vectors.
void store_parameters(ParameterMap& target, const ParameterMap& source, Storage storage) {
  for (auto& [key, tensor] : target) {
    const at::Tensor& found = source.at(key);
    if (found.dim() < 2) {
      tensor.copy_(found).requires_grad_(false);
    } else if (storage == Storage::kBFloat16) {
      tensor = found.to(at::kBFloat16).contiguous();
      if (found.scalar_type() != at::kBFloat16) release_pages(found);
    } else {
      tensor = quantized(found);
      release_pages(found);
    }
  }
}

}  // namespace

void assign_parameters(ParameterMap& target, const ParameterMap& source, const std::string& name) {
  const at::NoGradGuard no_grad;
  check_fit(target, source, name);
  for (auto& [key, tensor] : target)
    if (!is_adapter_parameter(key)) tensor.copy_(source.at(key));
}

std::unique_ptr<Llm> load_llm(const std::filesystem::path& folder, Storage storage) {
  keep_freed_memory();
  std::unique_ptr<Llm> model = make_decoder(read_llm_config(folder), storage);
  ParameterMap weights = load_weights(folder);
  // Of two names of one tensor some writers keep the head's.
  const auto head = weights.find("lm_head.weight");
  if (model->config().tie_word_embeddings && head != weights.end())
    weights.try_emplace("model.embed_tokens.weight", head->second);
  if (storage == Storage::kFloat) {
    assign_parameters(model->parameters(), weights, folder.string());
  } else {
    const at::NoGradGuard no_grad;
    check_fit(model->parameters(), weights, folder.string());
    store_parameters(model->parameters(), weights, storage);
  }
  return model;
}

void save_llm(const Llm& model, const std::filesystem::path& folder) {
  write_llm_config(model.config(), folder);
  ParameterMap weights;
  for (const auto& [name, tensor] : model.parameters()) {
    if (is_adapter_parameter(name)) continue;
    weights[name] = is_int8(tensor) ? widened(tensor) : tensor;
  }
  save_safetensors(weights, folder / "model.safetensors");
}

}  // namespace etrlrec
