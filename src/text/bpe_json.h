// Parts of the tokenizer.json that this program writes for BPE, in the layout of Hugging Face
// `tokenizers`. Internal to text/.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "text/split_patterns.h"

namespace etrlrec {

// An entry of added_tokens that takes no white space and is not normalised.
nlohmann::ordered_json added_token_json(size_t id, std::string_view content, bool special);

struct ByteLevelStep {
  bool trim_offsets = false, use_regex = false;
};
nlohmann::ordered_json byte_level_step(
    const ByteLevelStep& settings);                   // a pre-tokenizer, a decoder
nlohmann::ordered_json split_step(PatternKind kind);  // cuts around the pattern's matches

// `model` without vocabulary and merges.
struct BpeModelJson {
  std::optional<std::string> unk_token{};
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
};
nlohmann::ordered_json bpe_model_json(const BpeModelJson& settings);

}  // namespace etrlrec
