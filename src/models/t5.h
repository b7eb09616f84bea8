// T5 (Raffel et al. 2020), v1.0 and v1.1 / Flan: an encoder-decoder with pre-norm RMSNorm, unscaled
// attention with a bias per bucket of relative positions, and a ReLU or gated GELU feed-forward
// layer. Configuration keys and parameter names are Hugging Face's. A prompt is what the encoder
// reads, the source of a root; the decoder's texts are trees that begin with the start token.
// Nothing is padded, and nothing is computed on padding. No dropout but that of adapters.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/language_model.h"
#include "models/t5_config.h"
#include "models/t5_layers.h"

namespace etrlrec {

class T5 final : public LanguageModel {
 public:
  // The parameters are uninitialised and trainable, or shapes only, on the meta device.
  enum class Memory : int8_t { kAllocated, kShapesOnly };
  T5(const T5Config& config, Memory memory, const Numerics& numerics = {});

  const T5Config& config() const { return config_; }
  const std::string& type() const override { return config_.model_type; }
  int64_t vocab_size() const override { return config_.vocab_size; }
  int64_t hidden_size() const override { return config_.d_model; }
  int64_t num_key_value_heads() const override { return config_.num_heads; }
  const std::vector<int64_t>& eos_ids() const override { return config_.eos_token_ids; }
  int64_t max_length() const override;  // relative positions have no end
  bool has_encoder() const override { return true; }
  PromptParts prompt_parts(std::span<const int64_t> prompt) const override {
    return {prompt, {&config_.decoder_start_token_id, 1}};
  }
  int64_t key_value_bytes() const override { return config_.key_value_bytes(); }
  PassCost cost(const PassShape& shape) const override;
  void save(const std::filesystem::path& folder) const override;
  const at::Tensor& embed_tokens() const override { return parameters_.at("shared.weight"); }
  const at::Tensor& head_weight() const override {
    return config_.tie_word_embeddings ? embed_tokens() : parameters_.at("lm_head.weight");
  }
  // NEFTune's noise goes to the encoder's input.
  void set_training_noise(const TrainingNoise& noise) override { noise_ = noise; }

  at::Tensor hidden_states(const TokenForest& forest) const override;
  at::Tensor hidden_states_at(const TokenForest& forest,
                              std::span<const int64_t> rows) const override;
  // Rows of one admission grow together. The adapter is not switched while a cache is in use.
  std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const override;
  void admit(KvCache& cache, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
             at::Tensor& last_hidden, std::span<SharedPromptKeys> keys = {}) const override;
  at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const override;

  // The two halves of hidden_states(). Final-norm states of the encoder for rows of token ids
  // (virtual tokens included), and for their embeddings.
  StateRows encode(std::span<const std::vector<int64_t>> sources) const;
  StateRows encode(const StateRows& inputs_embeds) const;
  // States of the decoder, ready for the head, [T, d_model], of the tokens of a forest in its
  // order; tree i (the i-th root) attends to row source_of_tree[i] of `encoded`. Trees of one
  // source are best put side by side.
  at::Tensor decode(const TokenForest& forest, const StateRows& encoded,
                    std::span<const int64_t> source_of_tree) const;
  T5Weights weights() const;

 private:
  at::Tensor states_at(const TokenForest& forest, const StateRows& encoded,
                       std::span<const int64_t> source_of_tree,
                       const std::vector<int64_t>* rows) const;

  T5Config config_;
  TrainingNoise noise_;
};

// The paper's initialisation.
std::unique_ptr<T5> new_t5(const T5Config& config, uint64_t seed, const Numerics& numerics = {});
// config.json without weights: parameters are shapes only.
std::unique_ptr<T5> open_t5(const std::filesystem::path& folder, const Numerics& numerics = {});
// config.json + model.safetensors (or its shards). The head is taken from the file if it holds one
// that differs from the embeddings, whatever tie_word_embeddings says.
std::unique_ptr<T5> load_t5(const std::filesystem::path& folder, const Numerics& numerics = {});

}  // namespace etrlrec
