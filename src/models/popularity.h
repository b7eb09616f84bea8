// Popularity of the items of the training log: plain ("popularity": add-one counts), and with
// forgetting ("recency": an interaction loses half its weight every half_life_days; exact at the
// request time, and only interactions before it count). Scores are log-probabilities over the
// catalogue.
#pragma once

#include <cstdint>
#include <vector>

#include "models/recommender.h"

namespace etrlrec {

extern const RecommenderType kPopularity, kRecency;

// Interactions of each item. [N]
std::vector<int64_t> count_items(const InteractionLog& log);
// (count + 1) / (sum of counts + N) of each item. [N]
std::vector<double> add_one_shares(const std::vector<int64_t>& counts);

}  // namespace etrlrec
