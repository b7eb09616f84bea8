// Token ids of a request as the student sees it, and of everything around its answer. Prompt,
// reasoning, closing tags and answer are encoded apart, so that the same text gives the same ids in
// distillation, rollouts and evaluation.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "temporal/prompts.h"
#include "text/tokenizer.h"

namespace etrlrec {

struct AnswerEncoding {
  std::vector<int64_t> close;  // "</reasoning><answer>", or nothing for the direct answer
  std::vector<std::vector<int64_t>> answers;  // [n] " 1" .. " n", as answer_text writes them
  std::vector<int64_t> finish;                // "</answer>" and the end token
};
AnswerEncoding encode_answers(const Tokenizer& tokenizer, int32_t num_candidates, bool reasoning);

// prompt ids | reasoning ids | close | answer | finish: the completion of a distillation row.
std::vector<int64_t> encode_completion(const Tokenizer& tokenizer, const AnswerEncoding& encoding,
                                       std::string_view reasoning, int32_t answer);

}  // namespace etrlrec
