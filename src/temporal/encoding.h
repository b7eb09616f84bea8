// Token ids of everything around a student's answer. Reasoning, closing tags and answer are encoded
// apart, so that the same text gives the same ids in distillation, rollouts and evaluation.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "temporal/prompts.h"
#include "text/tokenizer.h"

namespace etrlrec {

// The ids of a text between others, which are never parsed with it.
std::vector<int64_t> encode_between(const Tokenizer& tokenizer, std::span<const int64_t> before,
                                    std::string_view text, std::span<const int64_t> after);

struct AnswerEncoding {
  std::vector<int64_t> close;  // e.g. "</reasoning><answer>", or nothing for the direct answer
  // [n] of answer_texts(). Where the tokenizer splits digits, so that " 1" begins " 12", each ends
  // with the first token of "</answer>": no answer begins another one.
  std::vector<std::vector<int64_t>> answers;
  std::vector<int64_t> finish;  // the rest of "</answer>" and the end token
};
// `texts`: answer_texts(). Rows with different numbers of candidates that are asked together by
// number name the largest one as `most_candidates`, so that `finish` is the same for all.
AnswerEncoding encode_answers(const Tokenizer& tokenizer, std::span<const std::string> texts,
                              const PromptOptions& options, int32_t most_candidates = 0);

// prompt ids | reasoning ids | close | answer | finish: the completion of a distillation row.
std::vector<int64_t> encode_completion(const Tokenizer& tokenizer, const AnswerEncoding& encoding,
                                       std::string_view reasoning, int32_t answer);

}  // namespace etrlrec
