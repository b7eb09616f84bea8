// The table of English forms of claims and decisions (style "natural", explanations for people). A
// form is a sentence without its full stop; {0} {1} {2} are the claim's arguments in the order of
// its predicate, {v} is the number behind it. Articles and case do not matter when forms are read.
// "2=now|" in front fixes an argument that the sentence does not name. The first form of each
// predicate has no number and is the one that people read.
#pragma once

#include <span>
#include <string_view>

namespace etrlrec {

struct SentenceForms {
  std::string_view key;  // Predicate::key()
  std::span<const std::string_view> forms;
};
// One row for each of predicate_table(). A text that fits several rows means the first of them.
std::span<const SentenceForms> sentence_forms();

// What a reasoning names right before its wish as what decides: "taste" in compact texts.
struct Decision {
  std::string_view word;
  std::string_view sentence;  // without its full stop
};
std::span<const Decision> decisions();
std::string_view decision_sentence(std::string_view word);  // empty: no such word

}  // namespace etrlrec
