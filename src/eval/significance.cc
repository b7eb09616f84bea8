#include "eval/significance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

// What is drawn with replacement: sums and row counts of rows or of whole clusters.
struct Units {
  std::vector<double> sums;
  std::vector<double> counts;
};

Units make_units(std::span<const double> values, std::span<const int64_t> clusters) {
  CHECK(!values.empty(), kInput, "bootstrap: expected at least one value, found none");
  CHECK(clusters.empty() || clusters.size() == values.size(), kInput,
        "bootstrap: expected no clusters or one per value, found {} for {} values", clusters.size(),
        values.size());
  Units units;
  std::unordered_map<int64_t, size_t> unit_of;
  for (size_t i = 0; i < values.size(); ++i) {
    CHECK(std::isfinite(values[i]), kNumbers, "bootstrap: expected finite values, found {} at {}",
          values[i], i);
    const size_t next = units.sums.size();
    const size_t unit =
        clusters.empty() ? next : unit_of.try_emplace(clusters[i], next).first->second;
    if (unit == next) {
      units.sums.push_back(0);
      units.counts.push_back(0);
    }
    units.sums[unit] += values[i];
    units.counts[unit] += 1;
  }
  return units;
}

std::vector<double> resample_means(const Units& units, int64_t draws, uint64_t seed) {
  CHECK(draws > 0, kInput, "bootstrap: expected a positive number of draws, found {}", draws);
  Rng rng(seed, "eval.bootstrap");
  std::vector<double> means(draws);
  for (double& mean : means) {
    double sum = 0, count = 0;
    for (size_t n = 0; n < units.sums.size(); ++n) {
      const size_t unit = rng.below(units.sums.size());
      sum += units.sums[unit];
      count += units.counts[unit];
    }
    mean = sum / count;
  }
  return means;
}

// Units of every seed; their counts are the same.
std::vector<Units> units_of_seeds(const SeedValues& values, std::span<const int64_t> clusters) {
  CHECK(!values.empty(), kInput, "bootstrap: expected values of at least one seed, found none");
  std::vector<Units> units;
  for (const std::vector<double>& of_seed : values) {
    CHECK(of_seed.size() == values[0].size(), kInput,
          "bootstrap: expected the same rows for every seed, found {} and {}", values[0].size(),
          of_seed.size());
    units.push_back(make_units(of_seed, clusters));
  }
  return units;
}

// Means of each side over drawn units and drawn seeds, one side after the other.
void resample_sides(std::span<const std::vector<Units>* const> sides, Rng& rng,
                    std::span<double> means) {
  const std::vector<double>& counts = sides[0]->at(0).counts;
  std::vector<size_t> drawn(counts.size());
  double count = 0;
  for (size_t& unit : drawn) {
    unit = rng.below(counts.size());
    count += counts[unit];
  }
  for (size_t side = 0; side < sides.size(); ++side) {
    const std::vector<Units>& seeds = *sides[side];
    double sum = 0;
    for (size_t s = 0; s < seeds.size(); ++s) {
      const Units& units = seeds[seeds.size() == 1 ? 0 : rng.below(seeds.size())];
      for (const size_t unit : drawn) sum += units.sums[unit];
    }
    means[side] = sum / (count * static_cast<double>(seeds.size()));
  }
}

double mean_of(const Units& units) {
  return std::accumulate(units.sums.begin(), units.sums.end(), 0.0) /
         std::accumulate(units.counts.begin(), units.counts.end(), 0.0);
}

double mean_of_seeds(const std::vector<Units>& seeds) {
  double sum = 0;
  for (const Units& units : seeds) sum += mean_of(units);
  return sum / static_cast<double>(seeds.size());
}

}  // namespace

double quantile(std::span<const double> sorted, double share) {
  CHECK(!sorted.empty() && share >= 0 && share <= 1, kInput,
        "quantile: expected values and a share in [0, 1]");
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Interval bootstrap_mean(std::span<const double> values, std::span<const int64_t> clusters,
                        int64_t draws, uint64_t seed) {
  const Units units = make_units(values, clusters);
  std::vector<double> means = resample_means(units, draws, seed);
  std::sort(means.begin(), means.end());
  return {mean_of(units), quantile(means, 0.025), quantile(means, 0.975)};
}

PairedResult summarize_resamples(double difference, std::vector<double> resampled) {
  CHECK(!resampled.empty(), kInput, "bootstrap: expected at least one resample, found none");
  std::sort(resampled.begin(), resampled.end());
  const auto count = static_cast<double>(resampled.size());
  double not_above = 0, not_below = 0;
  for (const double value : resampled) {
    not_above += value <= 0;
    not_below += value >= 0;
  }
  const double p = std::clamp(2 * std::min(not_above, not_below) / count, 1 / count, 1.0);
  return {difference, quantile(resampled, 0.025), quantile(resampled, 0.975), p};
}

PairedResult paired_bootstrap(std::span<const double> first, std::span<const double> second,
                              std::span<const int64_t> clusters, int64_t draws, uint64_t seed) {
  CHECK(first.size() == second.size(), kInput,
        "paired test: expected the same rows, found {} and {}", first.size(), second.size());
  std::vector<double> differences(first.size());
  for (size_t i = 0; i < first.size(); ++i) differences[i] = first[i] - second[i];
  const Units units = make_units(differences, clusters);
  return summarize_resamples(mean_of(units), resample_means(units, draws, seed));
}

Interval bootstrap_seeds(const SeedValues& values, std::span<const int64_t> clusters, int64_t draws,
                         uint64_t seed) {
  const std::vector<Units> units = units_of_seeds(values, clusters);
  if (units.size() == 1) return bootstrap_mean(values[0], clusters, draws, seed);
  CHECK(draws > 0, kInput, "bootstrap: expected a positive number of draws, found {}", draws);
  Rng rng(seed, "eval.bootstrap.seeds");
  const std::vector<Units>* const sides[] = {&units};
  std::vector<double> means(static_cast<size_t>(draws));
  for (double& mean : means) resample_sides(sides, rng, {&mean, 1});
  std::sort(means.begin(), means.end());
  return {mean_of_seeds(units), quantile(means, 0.025), quantile(means, 0.975)};
}

PairedResult paired_seeds(const SeedValues& first, const SeedValues& second,
                          std::span<const int64_t> clusters, int64_t draws, uint64_t seed) {
  const std::vector<Units> a = units_of_seeds(first, clusters),
                           b = units_of_seeds(second, clusters);
  CHECK(first[0].size() == second[0].size(), kInput,
        "paired test: expected the same rows, found {} and {}", first[0].size(), second[0].size());
  if (a.size() == 1 && b.size() == 1)
    return paired_bootstrap(first[0], second[0], clusters, draws, seed);
  CHECK(draws > 0, kInput, "bootstrap: expected a positive number of draws, found {}", draws);
  Rng rng(seed, "eval.bootstrap.seeds");
  const std::vector<Units>* const sides[] = {&a, &b};
  std::vector<double> differences(static_cast<size_t>(draws));
  for (double& difference : differences) {
    double means[2];
    resample_sides(sides, rng, means);
    difference = means[0] - means[1];
  }
  return summarize_resamples(mean_of_seeds(a) - mean_of_seeds(b), std::move(differences));
}

std::optional<int64_t> rows_for_power(double difference, double discordance) {
  CHECK(discordance >= 0 && discordance <= 1 && std::abs(difference) <= 1, kInput,
        "power: expected a difference in [-1, 1] and a discordance in [0, 1], found {} and {}",
        difference, discordance);
  if (difference == 0 || discordance == 0) return std::nullopt;
  const double factor = kPowerFactor / difference;
  // A whole number must not be rounded up for its last bit.
  const double rows = std::ceil(factor * factor * discordance * (1 - 1e-12));
  return rows < 1e18 ? std::optional(static_cast<int64_t>(rows)) : std::nullopt;
}

double detectable_difference(double discordance, int64_t rows) {
  CHECK(discordance >= 0 && discordance <= 1 && rows > 0, kInput,
        "power: expected a discordance in [0, 1] and rows, found {} and {}", discordance, rows);
  return kPowerFactor * std::sqrt(discordance / static_cast<double>(rows));
}

double mcnemar_exact(int64_t only_first, int64_t only_second) {
  CHECK(only_first >= 0 && only_second >= 0, kInput, "McNemar: expected counts, found {} and {}",
        only_first, only_second);
  const auto n = static_cast<double>(only_first + only_second);
  double tail = 0;  // P(X <= smaller count), X ~ Binomial(n, 1/2)
  for (int64_t i = 0; i <= std::min(only_first, only_second); ++i) {
    const auto k = static_cast<double>(i);
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                     n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted(p_values.size());
  double highest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const double p = p_values[order[i]];
    CHECK(p >= 0 && p <= 1, kInput, "Holm: expected p-values in [0, 1], found {}", p);
    highest = std::max(highest, std::min(1.0, static_cast<double>(order.size() - i) * p));
    adjusted[order[i]] = highest;
  }
  return adjusted;
}

}  // namespace etrlrec
