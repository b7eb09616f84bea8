// Intervals and paired tests: bootstrap over rows or clusters, exact McNemar, Holm (method.md F).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace etrlrec {

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
