#include "eval/metrics.h"

#include <cmath>

#include "base/check.h"

namespace etrlrec {

double hit_at(double rank, int64_t k) { return rank <= static_cast<double>(k) ? 1 : 0; }

double ndcg_at(double rank, int64_t k) {
  return rank <= static_cast<double>(k) ? 1 / std::log2(1 + rank) : 0;
}

double reciprocal_rank(double rank) { return 1 / rank; }

RandomLevel random_level(int64_t num_candidates) {
  CHECK(num_candidates > 0, kInput, "random level: expected at least one candidate, found {}",
        num_candidates);
  RandomLevel level{};
  for (int64_t r = 1; r <= num_candidates; ++r) {
    const auto rank = static_cast<double>(r);
    level.hit1 += hit_at(rank, 1);
    level.hit5 += hit_at(rank, 5);
    level.hit10 += hit_at(rank, 10);
    level.ndcg5 += ndcg_at(rank, 5);
    level.ndcg10 += ndcg_at(rank, 10);
    level.mrr += reciprocal_rank(rank);
  }
  for (double* value :
       {&level.hit1, &level.hit5, &level.hit10, &level.ndcg5, &level.ndcg10, &level.mrr}) {
    *value /= static_cast<double>(num_candidates);
  }
  return level;
}

}  // namespace etrlrec
