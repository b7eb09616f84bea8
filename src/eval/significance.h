// Intervals and paired tests: bootstrap over rows, clusters and training seeds, exact McNemar,
// Holm, and how many rows a difference needs (method.md F.4).
#pragma once

#include <cstdint>
#include <optional>
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

// Values of several trainings on the same rows, [seeds, rows]. Two levels are drawn with
// replacement, seeds and rows (or clusters); of a pair the rows are the same, the seeds of each
// side are drawn on their own. Few seeds make such intervals too narrow rather than too wide. One
// seed on each side gives what the functions above give.
using SeedValues = std::vector<std::vector<double>>;
Interval bootstrap_seeds(const SeedValues& values, std::span<const int64_t> clusters, int64_t draws,
                         uint64_t seed);
PairedResult paired_seeds(const SeedValues& first, const SeedValues& second,
                          std::span<const int64_t> clusters, int64_t draws, uint64_t seed);

// F.4: rows of a paired comparison of hits at 1 that show a difference of `difference` with p < .05
// in 80 % of the cases, N = (kPowerFactor / difference)^2 * discordance, rounded up; and the
// difference that so many rows show, kPowerFactor * sqrt(discordance / rows). `discordance`: the
// share of rows that one side alone hits. None for no difference.
inline constexpr double kPowerFactor = 2.8;  // z(.975) + z(.8)
std::optional<int64_t> rows_for_power(double difference, double discordance);
double detectable_difference(double discordance, int64_t rows);

std::vector<double> holm(std::span<const double> p_values);  // adjusted, input order

// The steps of the bootstrap, for tests and other statistics: p = min(1, 2 min(share <= 0, share >=
// 0)), at least 1 / number of resamples, the smallest value they can show.
double quantile(std::span<const double> sorted, double share);
PairedResult summarize_resamples(double difference, std::vector<double> resampled);

}  // namespace etrlrec
