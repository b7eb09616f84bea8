// Patterns that steps of a tokenizer look for, and the pieces that a text falls into around their
// matches, as Hugging Face `tokenizers` cuts it. Internal to text/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace etrlrec {

struct TextRange {
  size_t begin = 0, end = 0;
  bool is_match = false;
};
using TextRanges = std::vector<TextRange>;  // in order, covering the text; a match may be empty

class TextPattern {
 public:
  static TextPattern of_text(std::string text);
  // In the syntax of tokenizer.json (text/regex_syntax.h). Errors: kInput.
  static TextPattern of_regex(std::string_view pattern, const std::string& name);

  // An empty match right after another match is none. Error (kInput): matching takes too many
  // steps.
  TextRanges find(std::string_view text) const;
  // With every match replaced; a regular expression matches nothing in a text that is no UTF-8.
  std::string replaced(std::string_view text, std::string_view content) const;

 private:
  struct Code;
  std::string text_;
  std::shared_ptr<const Code> code_;  // null: text_
};

// Characters for which `matches` says true are matches, one each.
TextRanges find_characters(std::string_view text, const std::function<bool(char32_t)>& matches);

// What becomes of a match: left out, a piece of its own, part of the piece before or after it, or
// one piece with the matches next to it.
enum class SplitBehavior : int8_t {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};
// Pieces that are not empty. The flags of `ranges` decide, their order is kept.
std::vector<std::pair<size_t, size_t>> split_ranges(const TextRanges& ranges,
                                                    SplitBehavior behavior);

}  // namespace etrlrec
