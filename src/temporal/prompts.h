// All texts a model reads or writes. Student and teacher prompts are rendered separately from the same structured
// request; nothing is cut out of a text afterwards. Titles are escaped, so tags or claims inside a title cannot open or
// close anything. One contract everywhere: <reasoning> … </reasoning><answer>k</answer>.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/dataset.h"
#include "temporal/facts.h"

namespace etrlrec {

inline constexpr std::string_view kReasoningOpen = "<reasoning>";
inline constexpr std::string_view kReasoningClose = "</reasoning>";
inline constexpr std::string_view kAnswerOpen = "<answer>";
inline constexpr std::string_view kAnswerClose = "</answer>";

struct PromptOptions {
  int32_t max_history = 8;
  bool with_times = true;                       // false: the ablation without timestamps
  bool reasoning = true;                        // false: the direct-answer instruction (label-only arm)
};

// Ends right where the completion begins: behind "<reasoning>" or, without reasoning, behind "<answer>".
std::string student_prompt(const Catalogue& catalogue, const Request& request, const PromptOptions& options);
// For a teacher that is a language model: instruction, fact sheet, contract; the target only with `hint`.
std::string teacher_prompt(const Catalogue& catalogue, const Request& request, const FactSheet& facts, bool hint);
std::string escape_title(std::string_view title);

// Reasons why an answer does not count; kept in logs and metrics.
enum class AnswerCode : int8_t { kValid, kNoReasoning, kNoAnswer, kNotAnInteger, kOutOfRange, kTrailingText, kRepeatedTag };
struct ParsedCompletion {
  AnswerCode code = AnswerCode::kNoAnswer;
  std::string_view reasoning;                   // view into the text
  int32_t answer = 0;                           // 1..n when valid or out of range, else 0
};
// `text` is what follows the prompt (the opening tag is already there). An automaton: one pair each, in order, nothing
// after.
ParsedCompletion parse_completion(std::string_view text, int32_t num_candidates, bool reasoning = true);
const char* answer_code_name(AnswerCode code);

}  // namespace etrlrec
