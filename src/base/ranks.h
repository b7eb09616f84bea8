// The rank of one score among others. Ties count by their mean rank.
#pragma once

#include <cstdint>
#include <span>

namespace etrlrec {

// Rank of `target` among scores: 1 + #{better} + half the number of other equals. Errors: kNumbers
// for a NaN among the scores, kInput for a target outside of them. models/ranking.h has the fast
// way for a whole catalogue.
double mean_rank(std::span<const double> scores, int64_t target);
double mean_rank(std::span<const float> scores, int64_t target);

}  // namespace etrlrec
