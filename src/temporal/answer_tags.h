// The contract of tagged answers: <reasoning> … </reasoning><answer> 7</answer>, one pair each, in
// this order, nothing but blanks after it. The parser scans for the four tags, then compares what
// it found with the one allowed order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "temporal/style.h"

namespace etrlrec {

inline constexpr std::string_view kReasoningOpen = "<reasoning>";
inline constexpr std::string_view kReasoningClose = "</reasoning>";
inline constexpr std::string_view kAnswerOpen = "<answer>";
inline constexpr std::string_view kAnswerClose = "</answer>";

// `text` is what follows the opening tag of the prompt: "<reasoning>", or "<answer>" without
// `reasoning`. Linear in the text, for any bytes.
ParsedCompletion parse_tagged_answer(std::string_view text, int32_t num_candidates, bool reasoning);

// The contract of answers by title: reasoning </reasoning> TITLE; and nothing but blanks after it.
// `text` is what follows "<reasoning>", or the time line without `reasoning`; `answers` are the
// candidates' texts, each ends in ";". Linear in the text and the answers.
ParsedCompletion parse_title_answer(std::string_view text, std::span<const std::string> answers,
                                    bool reasoning);

// The parts that every contract reads alike. Blanks are spaces, tabs and ends of lines.
bool all_blank(std::string_view text);
// A number between blanks, the whole text. `answer` keeps it where it is out of range.
AnswerCode read_number(std::string_view text, int32_t num_candidates, int32_t& answer);
// A title that ends in ";", with nothing but blanks behind it: code and answer of `parsed`.
// `answers`: the candidates' texts, which all have the same number of ';'.
void read_title(std::string_view text, std::span<const std::string> answers,
                ParsedCompletion& parsed);

}  // namespace etrlrec
