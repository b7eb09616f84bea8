// The language model: a decoder (pre-norm, RMSNorm, RoPE, grouped-query attention, SwiGLU) of type
// llama, mistral, qwen2 or qwen3 over the token forest. Configuration keys and parameter names are
// Hugging Face's, so load and save are identity maps. It handles token ids only, those of virtual
// tokens (nn/prompt_tuning.h) included; it knows nothing about items, prompts or rewards.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/adapter_set.h"
#include "nn/attention.h"
#include "nn/forest.h"
#include "nn/parameters.h"
#include "nn/weight.h"

namespace etrlrec {

struct LlmConfig {  // keys of config.json
  std::string model_type = "qwen2";
  int64_t vocab_size = 0;
  int64_t hidden_size = 128;
  int64_t num_hidden_layers = 3;
  int64_t num_attention_heads = 4;
  int64_t num_key_value_heads = 4;
  int64_t head_dim = 32;
  int64_t intermediate_size = 384;
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = true;
  std::vector<int64_t> eos_token_ids{
      0};  // any of them ends a text; with those of generation_config.json
  double initializer_range = 0.02;
  int64_t sliding_window = 0;        // 0: none
  std::vector<bool> sliding_layers;  // [num_hidden_layers] or empty: no layer slides

  // Positions that a token of this layer sees, itself included; 0: all.
  int64_t window(int64_t layer) const {
    return sliding_layers.empty() || !sliding_layers[static_cast<size_t>(layer)] ? 0
                                                                                 : sliding_window;
  }
};
// Errors (kModel) name the field: values out of range, and fields that would change the result and
// are not computed here. head_dim missing: hidden_size / num_attention_heads (qwen3: 128).
void check_llm_config(const LlmConfig& config, const std::string& name);
LlmConfig read_llm_config(const std::filesystem::path& folder);
void write_llm_config(const LlmConfig& config, const std::filesystem::path& folder);

// Keys and values of prompts (shared, computed once) and of the rows that grow below them.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual int64_t num_rows() const = 0;
  // Row r of the new state is row rows[r] of the old one: finished rows leave, order may change, a
  // row that occurs several times is copied. At most as many rows as the cache has room for.
  virtual void keep_rows(std::span<const int64_t> rows) = 0;
};

class Llm {
 public:
  virtual ~Llm() = default;
  virtual const LlmConfig& config() const = 0;
  virtual ParameterMap& parameters() = 0;  // trainable ones have requires_grad set
  virtual const ParameterMap& parameters() const = 0;
  // Final-norm hidden states of every token, [T, hidden_size]; differentiable unless
  // at::NoGradGuard is on.
  virtual at::Tensor hidden_states(const TokenForest& forest) const = 0;
  // Those of tokens `rows` [N] only, any order, repeats allowed -> [N, hidden_size]. The last layer
  // then computes its linear parts for these tokens alone.
  virtual at::Tensor hidden_states_at(const TokenForest& forest,
                                      std::span<const int64_t> rows) const;
  virtual const at::Tensor& head_weight() const = 0;  // [V, hidden_size]
  // Named adapters (nn/adapter_set.h); after attaching or loading one only its tensors are
  // trainable. Error (kUsage) for a model that takes none; such a model has lora().r == 0.
  virtual AdapterSet& adapters();
  virtual const LoraConfig& lora() const;  // of the selected adapter
  // With false the selected adapter is ignored (the reference policy of GRPO).
  virtual void set_adapter_enabled(bool enabled);
  void attach_lora(const LoraConfig& config, uint64_t seed) { adapters().attach(config, seed); }
  void load_lora(const std::filesystem::path& folder) { adapters().load(folder); }
  void merge_lora() { adapters().merge(); }
  // Noise of hidden_states() from now on: adapter dropout and NEFTune. Rollouts never see it. Error
  // (kUsage) for a model that has none.
  virtual void set_training_noise(const TrainingNoise& noise);

  // Rollouts, without gradient. new_cache: room for `rows` rows that may grow by `capacity` tokens
  // below their prompts. admit: the roots of `prompts` (no children) are computed once; a new row,
  // behind those that are there, continues root root_of_row[r]. The last hidden state of every new
  // root is returned in `last_hidden` [roots, hidden_size]. decode: feeds token ids[r] to row r and
  // returns [rows, hidden_size]. A cache sees in-place changes of the weights but keeps the adapter
  // switch of its beginning; it must not outlive the model.
  virtual std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const = 0;
  virtual void admit(KvCache& cache, const TokenForest& prompts,
                     std::span<const int64_t> root_of_row, at::Tensor& last_hidden) const = 0;
  virtual at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const = 0;
  // A cache with just the rows that are admitted at once.
  std::unique_ptr<KvCache> prefill(const TokenForest& prompts, std::span<const int64_t> root_of_row,
                                   int64_t capacity, at::Tensor& last_hidden) const;
};

// Noise while it lives.
class NoiseScope {
 public:
  NoiseScope(Llm& model, const TrainingNoise& noise) : model_(model) {
    model_.set_training_noise(noise);
  }
  NoiseScope(const NoiseScope&) = delete;
  ~NoiseScope() { model_.set_training_noise({}); }

 private:
  Llm& model_;
};

std::unique_ptr<Llm> new_llm(const LlmConfig& config,
                             uint64_t seed);  // random weights, N(0, initializer_range)
// config.json + model.safetensors (or its shards). With bfloat16 or int8 the matrices are frozen
// and kept in that type: bfloat16 ones of the file stay mapped, others are converted; vectors are
// fp32.
std::unique_ptr<Llm> load_llm(const std::filesystem::path& folder,
                              Storage storage = Storage::kFloat);
void save_llm(const Llm& model,
              const std::filesystem::path& folder);  // the same, adapters not included
// Weights only, in the layout of model.safetensors (tied head omitted). One error (kModel) lists
// all tensors that are missing, unknown or of another shape; then nothing is changed.
void assign_parameters(ParameterMap& target, const ParameterMap& source, const std::string& name);

}  // namespace etrlrec
