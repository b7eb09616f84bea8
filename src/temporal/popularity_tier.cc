#include "temporal/popularity_tier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "data/dataset.h"

namespace etrlrec {
namespace {

constexpr double kHalfLifeSeconds = kPopularityHalfLifeDays * 86400;
constexpr std::array<std::string_view, kNumPopularityTiers> kWords{
    "top", "big", "liked", "known", "some", "few", "rare", "scarce", "unseen"};
constexpr int8_t kUnseen = kNumPopularityTiers - 1;

// The last of `times` before `now`, -1: none.
int64_t last_before(std::span<const int64_t> times, int64_t now) {
  return std::lower_bound(times.begin(), times.end(), now) - times.begin() - 1;
}

}  // namespace

std::string_view popularity_word(int8_t tier) {
  CHECK(tier >= 0 && tier < kNumPopularityTiers, kFailure,
        "popularity tier: expected 0 to {}, "
        "found {}",
        kNumPopularityTiers - 1, tier);
  return kWords[static_cast<size_t>(tier)];
}

PopularityHistory::PopularityHistory(const TemporalStatistics& statistics)
    : offsets_(statistics.event_offsets),
      times_(statistics.event_times),
      levels_(statistics.event_times.size()) {
  const int64_t origin = times_.empty() ? 0 : *std::min_element(times_.begin(), times_.end());
  for (size_t item = 0; item + 1 < offsets_.size(); ++item) {
    for (int64_t i = offsets_[item]; i < offsets_[item + 1]; ++i) {
      const double age = static_cast<double>(times_[i] - origin) / kHalfLifeSeconds;
      // log2(2^before + 2^age)
      const double before = i == offsets_[item] ? age : levels_[i - 1];
      const double high = std::max(before, age), low = std::min(before, age);
      levels_[i] = i == offsets_[item] ? age : high + std::log2(1 + std::exp2(low - high));
    }
  }
  std::vector<int64_t> order(times_.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return times_[a] < times_[b]; });
  for (const int64_t i : order) {
    leader_times_.push_back(times_[i]);
    leader_levels_.push_back(leader_levels_.empty() ? levels_[i]
                                                    : std::max(leader_levels_.back(), levels_[i]));
  }
}

int8_t PopularityHistory::tier(int32_t item, int64_t now) const {
  const int64_t begin = offsets_[item];
  const int64_t last = last_before(
      std::span(times_).subspan(begin, static_cast<size_t>(offsets_[item + 1] - begin)), now);
  if (last < 0) return kUnseen;
  const double behind = leader_levels_[last_before(leader_times_, now)] - levels_[begin + last];
  return static_cast<int8_t>(std::clamp<double>(std::floor(behind), 0, kUnseen - 1));
}

void PopularityHistory::add_tiers(Request& request) const {
  request.history_tiers.clear();
  for (size_t j = 0; j < request.history.size(); ++j)
    request.history_tiers.push_back(tier(request.history[j], request.times[j]));
  request.candidate_tiers.clear();
  for (const int32_t item : request.candidates)
    request.candidate_tiers.push_back(tier(item, request.now));
}

}  // namespace etrlrec
