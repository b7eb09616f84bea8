// Scores of answers and of whole titles below prefixes: every one is a path in a trie that hangs
// under its prefix in the token forest, so a row of candidates costs one pass over the prompt and
// over the tokens in which the candidates differ. Only the head rows of the tokens in question are
// multiplied; among answers the normaliser of the first step cancels.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "models/language_model.h"

namespace etrlrec {

using Answers = std::vector<std::vector<int64_t>>;

// Refuses (kInput) no answers, empty or equal answers, ids outside of the vocabulary, and an answer
// that begins another one: then append the token that ends an answer to all of them.
void check_answers(const Answers& answers, int64_t vocab_size);
bool all_single_tokens(const Answers& answers);

// log p(answer | path to the end of segments[r]) for every answer of row r, normalised over
// answers[r]. `forest` holds the prefixes; tries are added to it. One pass of the model;
// differentiable when gradients are on.
std::vector<at::Tensor> score_answers(const LanguageModel& model, TokenForest forest,
                                      std::span<const int64_t> segments,
                                      std::span<const Answers> answers);

// log p(answer | prefix) for every answer of every row, normalised over the answers,
// [rows][answers]; differentiable when gradients are on. Answers of several tokens are scored
// through a trie below the prefix. Without gradients rows go through the model in groups of
// `batch_tokens`.
std::vector<at::Tensor> answer_logprobs(const LanguageModel& model,
                                        std::span<const std::vector<int64_t>> prefixes,
                                        std::span<const Answers> answers,
                                        int64_t batch_tokens = 16384);

// log p(sequence | path to the end of segments[r]): the sum over the tokens of each sequence of row
// r, over the whole vocabulary, not normalised among the sequences, [rows][sequences]. Equal
// sequences and sequences that begin others are allowed. One pass; differentiable when gradients
// are on. Divided by the lengths it is the mean log-likelihood.
std::vector<at::Tensor> score_sequences(const LanguageModel& model, TokenForest forest,
                                        std::span<const int64_t> segments,
                                        std::span<const Answers> sequences);
// The same below whole prefixes; without gradients in groups of `batch_tokens`.
std::vector<at::Tensor> sequence_logprobs(const LanguageModel& model,
                                          std::span<const std::vector<int64_t>> prefixes,
                                          std::span<const Answers> sequences,
                                          int64_t batch_tokens = 16384);

}  // namespace etrlrec
