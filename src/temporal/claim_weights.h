// Information weights of claims: how many bits a true claim of a predicate is worth. A predicate
// that is often true with random arguments says little, one that tells nothing about the next item
// is of little use (method.md G.3 (5)). The weights are measured once on training rows and stored
// as JSON with the teacher's output.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "temporal/claims.h"

namespace etrlrec {

inline constexpr double kMaxBits = 4;  // w_max

// One entry per predicate in each column. Empty: every claim weighs one bit.
struct ClaimWeights {
  std::vector<std::string> predicates;  // with argument kinds, e.g. "gap(entry,moment,bucket)"
  std::vector<double> truth_rate;       // q: how often it is true with random arguments
  std::vector<double> usefulness;       // u in [0.25, 1]
};
// A training row. The target serves the usefulness weights only; no fact is computed from it.
struct TrainingContext {
  ClaimContext context;
  int32_t target_item = -1;
};
// u grows with the mutual information of a claim's truth and the next item: having the claim's
// attribute, being the claim's candidate or what stands at its place of the pattern, or for claims
// about neither, sharing the last entry's lead attribute. Scaled per dimension. Errors (kInput): a
// target that is no item.
ClaimWeights measure_claim_weights(std::span<const TrainingContext> contexts, uint64_t seed);

// w = min(kMaxBits, -log2 q) u for each predicate, in the order of predicate_table(); all 1 for
// empty weights. Errors (kInput): a predicate of the table is missing.
std::vector<double> predicate_bits(const ClaimWeights& weights);

nlohmann::ordered_json to_json(const ClaimWeights& weights);
// Errors (kInput): sizes that differ, rates outside of (0, 1], a set that lacks a predicate of this
// version.
ClaimWeights claim_weights_from_json(const nlohmann::json& json, const std::string& name);

}  // namespace etrlrec
