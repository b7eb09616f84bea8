// A small language model for answers by title, untrained or made out to be what pretrain leaves.
#pragma once

#include <filesystem>

#include "base/io.h"
#include "base/json.h"
#include "method/new_lm.h"

namespace etrlrec {

inline NewLmOptions title_model_options(const std::filesystem::path& data,
                                        const std::filesystem::path& out) {
  NewLmOptions options;
  options.data = data;
  options.out = out;
  options.hidden_size = 16;
  options.num_hidden_layers = 1;
  options.num_attention_heads = 1;
  options.init = "random";
  options.vocab_size = 600;
  options.whole_titles = 40;
  options.max_history = 50;
  return options;
}

// A card of a model that has been trained, to answer by title or by number.
inline void write_card(const std::filesystem::path& folder, const char* answer = "title") {
  const Json card{{"schema_version", 1},      {"stage", "pretrain"}, {"catalogue_hash", ""},
                  {"max_history", 50},        {"with_times", true},  {"reasoning", false},
                  {"style", "compact"},       {"answer", answer},    {"parent", "none"},
                  {"max_reasoning_tokens", 8}};
  write_file_atomic(folder / "etrlrec.json", card.dump());
}

}  // namespace etrlrec
