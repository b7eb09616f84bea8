// A row of distillation: a prompt and the completion that the student learns, with the field of
// every token of it (method.md G.2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "temporal/encoding.h"
#include "temporal/prompts.h"
#include "text/tokenizer.h"
#include "train/sft.h"

namespace etrlrec {

// One row to be trained on. `prompt` and `answers`: the ids and the encoded answers of a RowView.
// Fields are the predicates of the reasoning's claims ("gap") and their arguments ("gap/1"), "text"
// between them, "format" and "answer"; new names are appended to `field_names`. They serve metrics
// only: where the tokens do not spell the text byte by byte, the whole reasoning counts as "text".
SftRow make_sft_row(const Tokenizer& tokenizer, std::vector<int64_t> prompt,
                    std::string_view reasoning, int32_t answer, const AnswerEncoding& answers,
                    const PromptOptions& options, std::vector<std::string>& field_names);

}  // namespace etrlrec
