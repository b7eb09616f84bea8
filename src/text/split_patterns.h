// The split patterns of byte-level BPE: those that tokenizer.json writes out (Qwen2, Llama 3), and
// those of its built-in steps (GPT-2, and GPT-2 behind single digits, as in SmolLM2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace etrlrec {

// kSpacedNumbers is Llama 3's pattern with numbers that take one leading space into their piece.
// kDigits cuts out every numeral alone, then what is between them by GPT-2's pattern; one pattern
// says both: white space before a numeral ends like white space at the end of a text.
enum class PatternKind : int8_t { kGpt2, kQwen2, kLlama3, kSpacedNumbers, kDigits };
constexpr size_t kNumPatternKinds = 5;

const std::string& split_pattern(PatternKind kind);
// Of a pattern in tokenizer.json, exact spelling only; kDigits is written as two steps there.
std::optional<PatternKind> find_split_pattern(std::string_view pattern);

}  // namespace etrlrec
