// Sampling of one row of logits: temperature, top-k, top-p, min-p and typical-p in the order and
// with the tie rules of Transformers, greedy at temperature 0, and the log-probability of the
// chosen id under the unmodified model. Vectorised; no tensors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"

namespace etrlrec {

struct SamplingOptions {
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;
  double min_p = 0;      // below min_p times the highest probability: cut off (Nguyen et al. 2024)
  double typical_p = 1;  // locally typical sampling (Meister et al. 2022)
  double repetition_penalty = 1;     // engine/logits_processor.h
  int64_t no_repeat_ngram_size = 0;  // the same; 0: off
  uint64_t seed = 42;                // each (prompt, completion) has a stream of its own
};
void check_sampling(const SamplingOptions& options);  // kUsage

struct SampledToken {
  int64_t id = 0;
  float logprob = 0;  // log softmax(logits)[id]; NaN when the logits are not finite
};

// Buffers of one thread.
struct SamplingScratch {
  std::vector<float> sums, probabilities, logits;
  std::vector<int64_t> order;
};

// One uniform number is drawn per call, none when greedy.
SampledToken sample_token(std::span<const float> logits, const SamplingOptions& options, Rng& rng,
                          SamplingScratch& scratch);
// log sum exp of a row, in fp32 with sums in double.
float log_normalizer(std::span<const float> logits, SamplingScratch& scratch);
// Probabilities after all cuts; what is cut off has probability 0. Logits of -inf are forbidden
// ids.
void sampling_probabilities(std::span<const float> logits, const SamplingOptions& options,
                            SamplingScratch& scratch);  // -> scratch.probabilities
// Index drawn from log-probabilities of a few choices, under the same options.
int64_t sample_choice(std::span<const float> logprobs, const SamplingOptions& options, Rng& rng,
                      SamplingScratch& scratch);

}  // namespace etrlrec
