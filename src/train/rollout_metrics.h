// What a batch of rollouts says about the policy, under the names that users of TRL know, and how a
// reader sees that something goes wrong (method.md D.11 (6), G.9.8).
#pragma once

#include <map>
#include <string>

#include "train/advantage.h"
#include "train/policy_forest.h"
#include "train/rollout_batch.h"

namespace etrlrec {

// Means and deviations of the reward and its parts, shares of valid and of distinct completions.
void add_reward_metrics(const RolloutBatch& batch, int64_t group,
                        std::map<std::string, double>& metrics);
// Lengths, and the share closed by force.
void add_completion_metrics(const RolloutBatch& batch, std::map<std::string, double>& metrics);
// Ratio, clipping, entropy and, with a reference, divergence.
void add_policy_metrics(const PolicyLoss& loss, const PolicyOutput& policy, bool has_reference,
                        std::map<std::string, double>& metrics);
// Largest distance between the rollout's and the trainer's log-probability of a sampled token.
double logprob_gap(const RolloutBatch& batch, const PolicyForest& forest,
                   const at::Tensor& logprobs);

}  // namespace etrlrec
