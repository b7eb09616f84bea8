// Ranking metrics as pure functions on ranks (method.md F). Ties count by their mean rank, so a
// rank may be a half.
#pragma once

#include <cstdint>
#include <span>

#include "base/ranks.h"

namespace etrlrec {

double hit_at(double rank, int64_t k);   // 1 when rank <= k
double ndcg_at(double rank, int64_t k);  // 1 / log2(1 + rank) when rank <= k
double reciprocal_rank(double rank);
// Expected metrics of a uniformly random order without ties.
struct RandomLevel {
  double hit1, hit5, hit10, ndcg5, ndcg10, mrr;
};
RandomLevel random_level(int64_t num_candidates);

}  // namespace etrlrec
