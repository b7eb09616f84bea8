#include "temporal/profile.h"

#include <algorithm>
#include <map>

#include "temporal/gaps.h"

namespace etrlrec {
namespace {

constexpr double kFirstWeight = 0.5, kFollowerWeight = 0.25, kLeaderShare = 0.75;
constexpr size_t kShortEntries = 3, kMinNoveltyEntries = 4;

struct Tally {
  double weight = 0;
  size_t last = 0;
};

std::vector<int32_t> attribute_set(const Catalogue& catalogue, int32_t item) {
  const auto span = catalogue.attributes_of(item);
  std::vector<int32_t> set(span.begin(), span.end());
  std::sort(set.begin(), set.end());
  return set;
}

}  // namespace

std::vector<double> visit_weights(std::span<const int64_t> times) {
  std::vector<double> weights(times.size(), kFirstWeight);
  for (size_t j = 1; j < times.size(); ++j) {
    const GapBucket gap = gap_bucket(times[j] - times[j - 1]);
    weights[j] = gap == GapBucket::kMonth ? 1.0 : kFollowerWeight;
  }
  return weights;
}

std::vector<double> recent_weights(size_t n) {
  std::vector<double> weights(n, 0.0);
  double weight = 1;
  for (size_t k = 0; k < std::min(n, kShortEntries); ++k, weight /= 2) weights[n - 1 - k] = weight;
  return weights;
}

std::vector<int32_t> leading_attributes(const Catalogue& catalogue, std::span<const int32_t> items,
                                        std::span<const double> weights) {
  std::map<int32_t, Tally> tallies;
  for (size_t j = 0; j < items.size(); ++j) {
    if (weights[j] <= 0) continue;
    for (const int32_t a : catalogue.attributes_of(items[j])) {
      tallies[a].weight += weights[j];
      tallies[a].last = j;
    }
  }
  std::vector<double> best(catalogue.fields.size(), 0.0);
  for (const auto& [a, tally] : tallies) {
    double& field_best = best[catalogue.attribute_fields[a]];
    field_best = std::max(field_best, tally.weight);
  }
  std::vector<int32_t> leaders;
  for (const auto& [a, tally] : tallies)
    if (tally.weight >= kLeaderShare * best[catalogue.attribute_fields[a]]) leaders.push_back(a);
  std::stable_sort(leaders.begin(), leaders.end(), [&](int32_t a, int32_t b) {
    const Tally &x = tallies[a], &y = tallies[b];
    return x.weight != y.weight ? x.weight > y.weight : x.last > y.last;
  });
  return leaders;
}

int32_t leader_of(std::span<const int32_t> leaders, const Catalogue& catalogue, int32_t field) {
  for (const int32_t a : leaders)
    if (catalogue.attribute_fields[a] == field) return a;
  return -1;
}

double novelty_share(const Catalogue& catalogue, std::span<const int32_t> items) {
  const size_t n = items.size();
  if (n < kMinNoveltyEntries) return -1;
  std::vector<std::vector<int32_t>> seen;
  size_t unseen = 0;
  for (size_t j = 0; j < n; ++j) {
    auto set = attribute_set(catalogue, items[j]);
    const bool known = std::find(seen.begin(), seen.end(), set) != seen.end();
    if (j >= n / 2 && !known) ++unseen;
    if (!known) seen.push_back(std::move(set));
  }
  return static_cast<double>(unseen) / static_cast<double>(n - n / 2);
}

}  // namespace etrlrec
