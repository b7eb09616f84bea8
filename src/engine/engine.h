// Rollouts: prompts in, completions out, with the log-probability of every sampled token. The
// engine handles token ids only. It knows nothing about items, prompts or rewards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/generation.h"
#include "models/language_model.h"

namespace etrlrec {

// What a row may grow by, and the prompt that it shares with others: the most of any row.
struct RolloutShape {
  int64_t new_tokens = 1, prompt_tokens = 0, rows_per_prompt = 1;
};
// Rows whose tokens, of `key_value_bytes` each, take at most 2 GiB together, each with its share of
// the prompt; in [1, 1024].
int64_t default_max_batch(int64_t key_value_bytes, const RolloutShape& shape);

// Continuous batching: rows leave when they are done, and the next prompts enter as soon as there
// is room for all their completions. Result: [requests * completions_per_prompt], request-major, in
// input order; independent of batching and of the thread count up to the rounding of the logits. No
// gradient.
std::vector<Completion> generate(const LanguageModel& model,
                                 std::span<const GenerationRequest> requests,
                                 const GenerationOptions& options);

}  // namespace etrlrec
