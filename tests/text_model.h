// A small decoder of random weights for a tokenizer, with enough doubt between titles to compare.
#pragma once

#include <cstdint>
#include <memory>

#include "models/decoder.h"
#include "text/tokenizer.h"

namespace etrlrec {

inline std::unique_ptr<LanguageModel> small_text_model(const Tokenizer& tokenizer, uint64_t seed) {
  LlmConfig config;
  config.vocab_size = tokenizer.vocab_size();
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.initializer_range = 0.3;
  return new_decoder(config, seed);
}

}  // namespace etrlrec
