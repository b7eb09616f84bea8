// The split patterns of byte-level BPE as tokenizer.json writes them: GPT-2, Qwen2 and Llama 3.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace etrlrec {

// kSpacedNumbers is Llama 3's pattern with numbers that take one leading space into their piece.
enum class PatternKind : int8_t { kGpt2, kQwen2, kLlama3, kSpacedNumbers };

const std::string& split_pattern(PatternKind kind);  // as written in tokenizer.json
std::optional<PatternKind> find_split_pattern(std::string_view pattern);  // exact spelling only

}  // namespace etrlrec
