// Item-based nearest neighbours (Sarwar et al. 2001) with forgetting. Two items are as similar as
// the sets of users who have them: sim(i, j) = |U_i and U_j| / sqrt(|U_i| |U_j|). An event of the
// history votes for the neighbours of its item, with half the weight for every
// `decay_half_life_days` that it is older than the newest one. Scores are sums of votes; an item
// without a vote scores 0.
#pragma once

#include "models/recommender.h"

namespace etrlrec {

extern const RecommenderType kItemKnn;

}  // namespace etrlrec
