// Small language model configurations, random ids and comparisons that several tests share.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "base/rng.h"
#include "models/decoder.h"
#include "tensor_difference.h"

namespace etrlrec {

inline LlmConfig small_config() {
  LlmConfig config;
  config.vocab_size = 61;
  config.hidden_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 12;
  config.intermediate_size = 80;
  config.initializer_range = 0.3;
  return config;
}

// One small configuration of every family: plain, query and key norms with wide heads, stretched
// rotation, a window shorter than the rows in one of the layers.
inline std::vector<LlmConfig> small_families() {
  LlmConfig qwen3 = small_config(), llama = small_config(), mistral = small_config();
  qwen3.model_type = "qwen3";
  qwen3.head_dim = 20;
  llama.model_type = "llama";
  llama.rope = {1e4, "llama3", 8, 1, 4, 32};
  llama.tie_word_embeddings = false;
  mistral.model_type = "mistral";
  mistral.sliding_window = 9;
  mistral.sliding_layers = {true, false};
  return {small_config(), qwen3, llama, mistral};
}

inline std::vector<int64_t> random_ids(int64_t length, uint64_t index) {
  Rng rng(5, "decoder-test", index);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int64_t>(rng.below(61)));
  return ids;
}

}  // namespace etrlrec
