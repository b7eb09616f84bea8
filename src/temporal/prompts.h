// All texts a model reads or writes. Student and teacher prompts are rendered separately from the
// same structured request; nothing is cut out of a text afterwards. Titles are escaped, so tags or
// claims inside a title cannot open or close anything. One contract everywhere: <reasoning> …
// </reasoning><answer> k</answer>.
//
// The student's text is written for small models (one attention step finds what is to be copied):
// the word to look for comes first, what is looked up right behind it, in the same order in prompt
// and reasoning. Numbers and words are preceded by one blank, everywhere, so that a byte-level
// tokenizer gives each the same piece in every place:
//   History; start drama Hollow River; week crime Paper Crown
//   Now; month winter
//   Candidates; crime 1 Silent Bridge; drama 2 Hollow River II
//   <reasoning>
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "temporal/facts.h"

namespace etrlrec {

inline constexpr std::string_view kReasoningOpen = "<reasoning>";
inline constexpr std::string_view kReasoningClose = "</reasoning>";
inline constexpr std::string_view kAnswerOpen = "<answer>";
inline constexpr std::string_view kAnswerClose = "</answer>";

struct PromptOptions {
  int32_t max_history = 8;
  bool with_times = true;  // false: the ablation without timestamps
  bool reasoning = true;   // false: the direct-answer form (label-only arm)
};

// Ends right where the completion begins: behind "<reasoning>" or, without reasoning, behind
// "<answer>". Errors (kInput): more than max_history entries (claims number the entries that are
// shown).
std::string student_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options);
// The answer as it stands between its tags: " 7".
std::string answer_text(int32_t answer);
// What a student is to write behind its prompt; `reasoning` begins with a blank.
std::string completion_text(std::string_view reasoning, int32_t answer);
// The part of an answer a student of the direct-answer form writes: " 7</answer>".
std::string direct_completion_text(int32_t answer);

// Attributes that stand in front of a title: up to six of the first field, then the first of each
// of up to three further fields.
std::vector<int32_t> shown_attributes(const Catalogue& catalogue, int32_t item);

// For a teacher that is a language model: instruction, fact sheet, contract; the target only with
// `hint`.
std::string teacher_prompt(const Catalogue& catalogue, const Request& request,
                           const FactSheet& facts, bool hint);
// At most 96 bytes of valid UTF-8 in one line without '<' '>' '(' ')' ';', which become '[' ']' '['
// ']' ','.
// '&' is kept: nothing here reads entities.
std::string escape_title(std::string_view title);

// Reasons why an answer does not count; kept in logs and metrics.
enum class AnswerCode : int8_t {
  kValid,
  kNoReasoning,   // no closing tag, or nothing but blanks before it
  kNoAnswer,      // no pair of answer tags
  kNotAnInteger,  // between them: anything but blanks and ASCII digits, one '-' in front allowed
  kOutOfRange,
  kTrailingText,  // between the pairs or behind the last tag
  kRepeatedTag,   // a tag twice or out of order
};
struct ParsedCompletion {
  AnswerCode code = AnswerCode::kNoAnswer;
  std::string_view reasoning;  // view into the text
  int32_t answer = 0;  // as written when valid or out of range (beyond int32: its limit), else 0
};
// `text` is what follows the prompt (the opening tag is already there). An automaton: one pair
// each, in order, nothing after but blanks. Linear in the text, for any bytes.
ParsedCompletion parse_completion(std::string_view text, int32_t num_candidates,
                                  bool reasoning = true);
const char* answer_code_name(AnswerCode code);

}  // namespace etrlrec
