// The forms of sentence_forms.h as lists of words and slots.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

inline constexpr std::array<std::string_view, 3> kSlots{"{0}", "{1}", "{2}"};

struct PatternPart {
  static constexpr int32_t kWord = -1, kNumber = -2;
  int32_t slot = kWord;  // number of an argument, kWord or kNumber
  std::string word;      // in lower case
};

struct SentencePattern {
  size_t predicate = 0;     // into predicate_table()
  std::string_view text;    // as it is written
  size_t fixed = SIZE_MAX;  // an argument that the sentence does not name, or SIZE_MAX
  std::string_view fixed_word;
  bool has_number = false;  // states {v}
  std::vector<PatternPart> parts;

  // The arguments that the text names, the last in the text first.
  std::vector<size_t> slots_from_behind() const;
};

// In the order of predicate_table() and of each row's forms.
std::span<const SentencePattern> sentence_patterns();

}  // namespace etrlrec
