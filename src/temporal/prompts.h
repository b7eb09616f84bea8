// All texts a model reads or writes, in the style that the options name, and the table of styles.
// Prompts are rendered from the structured request; nothing is cut out of a text afterwards.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "temporal/style.h"

namespace etrlrec {

std::span<const PromptStyle> prompt_styles();
std::vector<std::string> style_names();
// Error (kInput) lists the names; `where` says who names the style, e.g. a file.
const PromptStyle& find_style(std::string_view name, std::string_view where = "style");

// Ends right where the completion begins. Errors (kInput): more than max_history entries (claims
// number the entries that are shown), times of another number, no pattern where `knowledge` asks
// for one, no candidates where they are to be listed.
std::string student_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options);
// The texts of the candidates as answers: " 7", or " Toy Story [1995];" behind the lead; all
// different, and none begins another one where the answer is a title: equal titles are told apart
// by a number, in the order of the candidates.
std::vector<std::string> answer_texts(const Catalogue& catalogue, const Request& request,
                                      const PromptOptions& options);
// What stands between a reasoning's close and a title (PromptStyle::answer_lead); empty where the
// answer is a number or stands behind no reasoning.
std::string answer_lead(const Catalogue& catalogue, const Request& request,
                        const PromptOptions& options);
// What a student is to write after its prompt; `reasoning` begins with a blank and is left out of
// direct answers. `answer`: one of answer_texts().
std::string completion_text(std::string_view reasoning, std::string_view answer,
                            const PromptOptions& options);
// Reads back what followed a prompt of these options, as a view into the text; `answers`: all of
// answer_texts().
ParsedCompletion parse_completion(std::string_view text, std::span<const std::string> answers,
                                  const PromptOptions& options);
template <std::same_as<std::string> Temporary>
ParsedCompletion parse_completion(Temporary&& text, std::span<const std::string> answers,
                                  const PromptOptions& options) = delete;

}  // namespace etrlrec
