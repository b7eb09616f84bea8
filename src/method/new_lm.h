// A new small language model for a data set: a byte-level BPE trained on its catalogue and on
// rendered prompts with teacher replies, and a random decoder (qwen2) or encoder-decoder (t5).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "temporal/style.h"

namespace etrlrec {

struct NewLmOptions {
  std::string data, out;
  std::string family = "qwen2";  // qwen2 | t5
  int64_t hidden_size = 64, num_hidden_layers = 3, num_attention_heads = 2;
  std::string init = "lookup";    // lookup (models/lookup_init.h) | random; t5 is always random
  int64_t intermediate_size = 0;  // 0: three times hidden_size
  int64_t vocab_size = 2048;      // upper bound: training stops when no pair of pieces repeats
  // Titles that are one token each, beyond vocab_size: the most frequent ones of the training part,
  // at most so many and with at least so many interactions.
  int64_t whole_titles = 0, whole_title_interactions = 5;
  int64_t max_position_embeddings = 2048;  // of qwen2; relative positions have no end
  std::vector<std::string> documents;      // further text files for the tokenizer
  int64_t sample_rows = 2000;              // training rows that are rendered for the tokenizer
  int64_t max_history = 8;
  std::string style = PromptOptions{}.style;  // whose words the tokenizer keeps whole
  uint64_t seed = 42;
};
// Writes a complete model folder (Hugging Face layout) to options.out, which must not exist.
// Numbers of candidates and history entries, attribute words, gap and season words become one token
// each, with their leading space. T5 (v1.1's gated feed-forward layers, tied embeddings) has as
// many layers in the encoder as in the decoder, whose texts start with the end token. Errors
// (kUsage): an unknown family, numbers that fit no model.
void make_new_lm(const NewLmOptions& options);

}  // namespace etrlrec
