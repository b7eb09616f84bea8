// Rollouts: prompts in, completions out, with the log-probability of every sampled token. The
// engine handles token ids only. It knows nothing about items, prompts or rewards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/generation.h"
#include "models/language_model.h"

namespace etrlrec {

// Rows that may grow by `capacity` tokens of `key_value_bytes` each and take at most 2 GiB
// together; in [1, 1024].
int64_t default_max_batch(int64_t key_value_bytes, int64_t capacity);

// Continuous batching: rows leave when they are done, and the next prompts enter as soon as there
// is room for all their completions. Result: [requests * completions_per_prompt], request-major, in
// input order; independent of batching and of the thread count up to the rounding of the logits. No
// gradient.
std::vector<Completion> generate(const LanguageModel& model,
                                 std::span<const GenerationRequest> requests,
                                 const GenerationOptions& options);

}  // namespace etrlrec
