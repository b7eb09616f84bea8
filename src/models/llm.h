// The language model: a decoder (pre-norm, RMSNorm, RoPE, grouped-query attention, SwiGLU) of type
// llama, mistral, qwen2 or qwen3 over the token forest. Configuration keys and parameter names are
// Hugging Face's, so load and save are identity maps. It handles token ids only, those of virtual
// tokens (tuning/prompt_tuning.h) included; it knows nothing about items, prompts or rewards.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/step_model.h"
#include "nn/attention.h"
#include "nn/forest.h"
#include "nn/parameters.h"
#include "nn/weight.h"
#include "tuning/adapter_set.h"
#include "tuning/prompt_tuning.h"

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
  // With weights stored so, attention rounds to bfloat16, and keys and values are kept so.
  bool rounds_attention(Storage storage) const;
  int64_t key_value_bytes(Storage storage = Storage::kFloat) const;  // of one token
};
// Errors (kModel) name the field: values out of range, and fields that would change the result and
// are not computed here. head_dim missing: hidden_size / num_attention_heads (qwen3: 128).
void check_llm_config(const LlmConfig& config, const std::string& name);
LlmConfig read_llm_config(const std::filesystem::path& folder);
void write_llm_config(const LlmConfig& config, const std::filesystem::path& folder);

class Llm : public StepModel {
 public:
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
  // Named adapters (tuning/adapter_set.h); after attaching or loading one only its tensors are
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

  int64_t vocab_size() const override { return config().vocab_size; }
  int64_t num_input_ids() const override { return vocab_size() + num_virtual_tokens(parameters()); }
  int64_t max_length() const override { return config().max_position_embeddings; }
  int64_t key_value_bytes() const override { return config().key_value_bytes(); }
  bool shares_prompts() const override { return true; }
  std::span<const int64_t> text_before(std::span<const int64_t> prompt) const override {
    return prompt;
  }
  ModelStamp stamp() const override { return {id(), parameters(), adapter_in_use()}; }

 protected:
  virtual std::string adapter_in_use() const { return {}; }
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
