// What the tokens so far change in a row of logits, before sampling, as in Transformers: the
// repetition penalty (Keskar et al. 2019), n-grams that would repeat, and forbidden end tokens.
#pragma once

#include <cstdint>
#include <span>

#include "engine/sampling.h"

namespace etrlrec {

struct TokensSoFar {
  std::span<const int64_t> prompt, completion;
};

bool depends_on_tokens(const SamplingOptions& options);  // false: nothing but `forbidden` counts

// The changed row, in scratch.logits (scratch.order is overwritten):
// - the logit of each distinct token so far is divided by the penalty where positive, multiplied
//   where negative;
// - -inf for each token that would end an n-gram which occurs already, and for each of `forbidden`.
std::span<const float> process_logits(std::span<const float> logits, const TokensSoFar& tokens,
                                      const SamplingOptions& options,
                                      std::span<const int64_t> forbidden, SamplingScratch& scratch);

}  // namespace etrlrec
