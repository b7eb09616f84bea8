// Byte-level BPE read from tokenizer.json (GPT-2, Qwen2 to Qwen3, Llama 3, SmolLM2). A byte without
// a token of its own (SmolLM2's vocabulary lacks 21 of them) gives none, as in Hugging Face
// `tokenizers`. Internal to text/.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "text/bpe.h"

namespace etrlrec {

// The pattern by which the pre-tokenizer of a parsed tokenizer.json cuts texts: ByteLevel alone
// (GPT-2's is built in), Split with a known pattern and ByteLevel without, or Digits one by one and
// ByteLevel. None for other pre-tokenizers.
std::optional<PatternKind> byte_level_pattern(const nlohmann::json& root, const std::string& name);
// Whether the file says exactly what BpeTokenizer does.
bool is_byte_level_bpe(const nlohmann::json& root, const std::string& name);

// For files of which is_byte_level_bpe is true. `root` is the parsed tokenizer.json; `config`
// (tokenizer_config.json or special_tokens_map.json, may be empty) names the end token; `name` is
// used in errors (kInput).
std::unique_ptr<BpeTokenizer> read_byte_level(const nlohmann::json& root, std::string_view config,
                                              const std::string& name);

}  // namespace etrlrec
