// Arms: one way to train and ask, with the predictions of one or several training seeds on the same
// rows. Their tables and paired tests take seeds and rows into account (method.md F.4).
#pragma once

#include <cstdint>
#include <span>

#include "eval/predictions.h"

namespace etrlrec {

struct ArmSummary {
  MetricRow row;  // means over the seeds; the interval of hit@1 is of bootstrap_seeds over users
  int64_t seeds = 1;
  double hit1_sd = 0, ndcg10_sd = 0;  // over the seeds, of a sample; 0 for one seed
};

// Of one seed the same as `summarize`, without other differences. Errors (kInput): none, or seeds
// of other rows or candidates.
ArmSummary summarize_arm(std::span<const Predictions> seeds, uint64_t seed = 42);

// First against second. Of one seed each: compare_predictions, with McNemar's p. Else differences,
// intervals and both p are of paired_seeds over users, and only_first counts the rows whose mean
// over seeds is greater in the first. Errors (kInput) as compare_predictions.
Comparison compare_arms(std::span<const Predictions> first, std::span<const Predictions> second,
                        int64_t draws = 10'000, uint64_t seed = 42);

}  // namespace etrlrec
