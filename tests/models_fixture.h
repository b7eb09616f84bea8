// A small language model configuration that several tests share.
#pragma once

#include "models/llm.h"

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

}  // namespace etrlrec
