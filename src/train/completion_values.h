// What the completions of a batch are worth: the numbers that advantages are taken from.
#pragma once

#include <span>
#include <vector>

#include "train/advantage.h"
#include "train/rollout_batch.h"

namespace etrlrec {

// `exact`: V_i = sum_k p_i(k) r_i(k), the expectation over the answers by the probabilities of the
// rollout (method.md G.6); else what the answer is worth that was given.
std::vector<double> values_of(const RolloutBatch& batch, bool exact);
// The same of every term of the reward, over batches in a row. Error (kFailure) where completions
// have other terms.
std::vector<ComponentRewards> components_of(std::span<const RolloutBatch* const> batches,
                                            bool exact);

}  // namespace etrlrec
