// config.json of decoders of type llama, mistral, qwen2 or qwen3. Keys are Hugging Face's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/attention.h"
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
  // True if attention with weights stored so rounds to bfloat16 and keeps keys and values so.
  bool attention_uses_bfloat16_math(Storage storage, const Numerics& numerics) const;
  // Of the keys and values of one token.
  int64_t key_value_bytes(Storage storage = Storage::kFloat, const Numerics& numerics = {}) const;
};
// Errors (kModel) name the field: values out of range, and fields that would change the result and
// are not computed here. head_dim missing: hidden_size / num_attention_heads (qwen3: 128).
void check_llm_config(const LlmConfig& config, const std::string& name);
LlmConfig read_llm_config(const std::filesystem::path& folder);
// dtype: torch_dtype to write, the type in which the folder's weights are stored.
void write_llm_config(const LlmConfig& config, const std::filesystem::path& folder,
                      const std::string& dtype = "float32");

}  // namespace etrlrec
