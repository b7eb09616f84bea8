// A decoder of 14 tokens with weights large enough that every token matters.
#pragma once

#include <memory>

#include "models/decoder.h"

namespace etrlrec {

inline std::unique_ptr<LanguageModel> tiny_model(const Numerics& numerics = {}) {
  LlmConfig config;
  config.vocab_size = 14;
  config.hidden_size = 16;
  config.num_hidden_layers = 2;
  config.num_attention_heads = config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.intermediate_size = 24;
  config.initializer_range = 0.3;
  return new_decoder(config, 7, numerics);
}

}  // namespace etrlrec
