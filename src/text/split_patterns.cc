#include "text/split_patterns.h"

#include <array>

namespace etrlrec {

const std::string& split_pattern(PatternKind kind) {
  static const std::array<std::string, kNumPatternKinds> patterns{
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)",
  };
  return patterns[static_cast<size_t>(kind)];
}

std::optional<PatternKind> find_split_pattern(std::string_view pattern) {
  static constexpr std::array<PatternKind, 4> kKinds{
      PatternKind::kGpt2, PatternKind::kQwen2, PatternKind::kLlama3, PatternKind::kSpacedNumbers};
  for (const PatternKind kind : kKinds) {
    if (split_pattern(kind) == pattern) return kind;
  }
  return std::nullopt;
}

}  // namespace etrlrec
