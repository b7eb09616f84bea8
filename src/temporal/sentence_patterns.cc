#include "temporal/sentence_patterns.h"

#include <algorithm>

#include "base/check.h"
#include "temporal/predicates.h"
#include "temporal/sentence_forms.h"
#include "temporal/sentence_tokens.h"

namespace etrlrec {
namespace {

int32_t slot_of(std::string_view word) {
  if (word == "{v}") return PatternPart::kNumber;
  const auto found = std::find(kSlots.begin(), kSlots.end(), word);
  return found == kSlots.end() ? PatternPart::kWord : static_cast<int32_t>(found - kSlots.begin());
}

// The words of a form, read as those of a text are, with slots among them.
std::vector<PatternPart> parts_of(std::string_view text) {
  std::vector<PatternPart> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    const size_t slot_end = word.empty() || word.front() != '{' ? 0 : word.find('}') + 1;
    if (slot_end > 0) {
      parts.push_back({slot_of(word.substr(0, slot_end)), {}});
      continue;
    }
    for (const SentenceToken& token : sentence_tokens(word))
      parts.push_back({PatternPart::kWord, token.lower});
  }
  const auto is_opening_word = [](const PatternPart& part) {
    SentenceToken token;
    token.lower = part.word;
    return part.slot == PatternPart::kWord && is_opening(token);
  };
  while (!parts.empty() && is_opening_word(parts.front())) parts.erase(parts.begin());
  return parts;
}

SentencePattern pattern_of(size_t predicate, std::string_view form) {
  SentencePattern pattern;
  pattern.predicate = predicate, pattern.text = form;
  const size_t bar = form.find('|');
  if (bar != std::string_view::npos) {  // "1=now|"
    pattern.fixed = static_cast<size_t>(form[0] - '0');
    pattern.fixed_word = form.substr(2, bar - 2);
    pattern.text = form.substr(bar + 1);
  }
  pattern.parts = parts_of(pattern.text);
  for (const PatternPart& part : pattern.parts)
    pattern.has_number |= part.slot == PatternPart::kNumber;
  return pattern;
}

std::vector<SentencePattern> all_patterns() {
  std::vector<SentencePattern> patterns;
  const auto table = predicate_table();
  for (size_t p = 0; p < table.size(); ++p) {
    const std::string key = table[p].key();
    const auto row = std::find_if(sentence_forms().begin(), sentence_forms().end(),
                                  [&](const SentenceForms& forms) { return forms.key == key; });
    CHECK(row != sentence_forms().end(), kFailure, "sentences: expected a form of {}", key);
    for (const std::string_view form : row->forms) patterns.push_back(pattern_of(p, form));
  }
  return patterns;
}

}  // namespace

std::vector<size_t> SentencePattern::slots_from_behind() const {
  std::vector<size_t> slots;
  for (const PatternPart& part : parts)
    if (part.slot >= 0) slots.push_back(static_cast<size_t>(part.slot));
  std::reverse(slots.begin(), slots.end());
  return slots;
}

std::span<const SentencePattern> sentence_patterns() {
  static const std::vector<SentencePattern> kPatterns = all_patterns();
  return kPatterns;
}

}  // namespace etrlrec
