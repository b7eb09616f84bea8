// Ranking metrics as pure functions on ranks (base/ranks.h), significance tests, intervals.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

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

// All resampling is seeded; clusters are empty (rows are drawn) or one label per value (whole
// clusters are drawn, e.g. users). Intervals are percentile intervals of 95 %, quantiles
// interpolated linearly.
struct Interval {
  double mean = 0, low = 0, high = 0;
};
Interval bootstrap_mean(std::span<const double> values, std::span<const int64_t> clusters,
                        int64_t draws, uint64_t seed);
// Paired tests on the same rows.
double mcnemar_exact(int64_t only_first, int64_t only_second);  // two-sided p
struct PairedResult {
  double difference = 0, low = 0, high = 0, p_value = 1;
};
PairedResult paired_bootstrap(std::span<const double> first, std::span<const double> second,
                              std::span<const int64_t> clusters, int64_t draws, uint64_t seed);
std::vector<double> holm(std::span<const double> p_values);  // adjusted, input order

// The steps of the bootstrap, for tests and other statistics: p = min(1, 2 min(share <= 0, share >=
// 0)), at least 1 / number of resamples, the smallest value they can show.
double quantile(std::span<const double> sorted, double share);
PairedResult summarize_resamples(double difference, std::vector<double> resampled);

}  // namespace etrlrec
