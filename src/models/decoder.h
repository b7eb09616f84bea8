// Decoder language models: pre-norm, RMSNorm, rotary grouped-query attention, SwiGLU (Touvron et
// al. 2023; Qwen team 2024) of type llama, mistral, qwen2 or qwen3 over the token forest.
// Configuration keys and parameter names are Hugging Face's, so that load and save are identity
// maps.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/decoder_config.h"
#include "models/language_model.h"
#include "models/weights.h"
#include "nn/attention.h"

namespace etrlrec {

struct DecoderWeights;
class DecoderCache;

class Decoder final : public LanguageModel {
 public:
  // The parameters are uninitialised: of kFloat trainable memory, of another storage shapes for
  // what is loaded (allocate_parameters), with kShapesOnly on the meta device.
  enum class Memory : int8_t { kAllocated, kShapesOnly };
  Decoder(const LlmConfig& config, Storage storage, Memory memory, const Numerics& numerics = {});

  const LlmConfig& config() const { return config_; }
  const std::string& type() const override { return config_.model_type; }
  int64_t vocab_size() const override { return config_.vocab_size; }
  int64_t hidden_size() const override { return config_.hidden_size; }
  int64_t num_key_value_heads() const override { return config_.num_key_value_heads; }
  const std::vector<int64_t>& eos_ids() const override { return config_.eos_token_ids; }
  int64_t max_length() const override { return config_.max_position_embeddings; }
  bool has_encoder() const override { return false; }
  PromptParts prompt_parts(std::span<const int64_t> prompt) const override { return {{}, prompt}; }
  int64_t key_value_bytes() const override;
  PassCost cost(const PassShape& shape) const override;
  void save(const std::filesystem::path& folder) const override;

  const at::Tensor& embed_tokens() const override {
    return parameters_.at("model.embed_tokens.weight");
  }
  const at::Tensor& head_weight() const override {
    return config_.tie_word_embeddings ? embed_tokens() : parameters_.at("lm_head.weight");
  }
  void set_training_noise(const TrainingNoise& noise) override { noise_ = noise; }

  at::Tensor hidden_states(const TokenForest& forest) const override;
  // The last layer computes its linear parts for the wanted tokens alone.
  at::Tensor hidden_states_at(const TokenForest& forest,
                              std::span<const int64_t> rows) const override;
  std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const override;
  void admit(KvCache& cache, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
             at::Tensor& last_hidden, std::span<SharedPromptKeys> keys = {}) const override;
  at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const override;

 private:
  DecoderWeights weights(const TrainingNoise& noise) const;
  // rows: the tokens that are asked for, undefined: all. With a cache, the forest is what its
  // admission computes; keys and values go there.
  at::Tensor forward(const DecoderWeights& weights, const TokenForest& forest,
                     const TrainingNoise& noise, const at::Tensor& rows, DecoderCache* cache) const;
  // All layers and the final norm over x [T, C]; attend(layer, qkv [T, packed width]) -> [T, H D].
  template <typename Attend>
  at::Tensor run_layers(const DecoderWeights& weights, at::Tensor x, const at::Tensor& rows,
                        const TrainingNoise& noise, const Attend& attend) const;
  at::Tensor plain_decode(DecoderCache& cache, const at::Tensor& x) const;
  void decode_rows(DecoderCache& cache, int64_t begin, int64_t end) const;
  const RotaryTable& rotary(int64_t positions) const;
  void check_ids(std::span<const int64_t> ids) const;

  LlmConfig config_;
  TrainingNoise noise_;
  mutable RotaryTable rotary_;
};

// Random weights, N(0, initializer_range); biases 0, norms 1.
std::unique_ptr<Decoder> new_decoder(const LlmConfig& config, uint64_t seed,
                                     const Numerics& numerics = {});
// config.json without weights: parameters are shapes only.
std::unique_ptr<Decoder> open_decoder(const std::filesystem::path& folder,
                                      Storage storage = Storage::kFloat,
                                      const Numerics& numerics = {});
// config.json + model.safetensors (or its shards). With bfloat16 or int8 the matrices are frozen
// and kept in that type: bfloat16 ones of the file stay mapped, others are converted; vectors are
// fp32.
std::unique_ptr<Decoder> load_decoder(const std::filesystem::path& folder,
                                      Storage storage = Storage::kFloat,
                                      const Numerics& numerics = {});

}  // namespace etrlrec
