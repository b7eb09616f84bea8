// Popularity tiers against sums over all events, written out.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "data/dataset.h"
#include "temporal/popularity_tier.h"

namespace etrlrec {
namespace {

constexpr int64_t kDay = 86400;

struct Event {
  int32_t item = 0;
  int64_t time = 0;
};

TemporalStatistics statistics_of(const std::vector<Event>& events, int32_t items) {
  TemporalStatistics statistics;
  statistics.event_offsets.assign(1, 0);
  for (int32_t item = 0; item < items; ++item) {
    for (const Event& event : events)
      if (event.item == item) statistics.event_times.push_back(event.time);
    statistics.event_offsets.push_back(std::ssize(statistics.event_times));
    std::sort(statistics.event_times.begin() + statistics.event_offsets[item],
              statistics.event_times.end());
  }
  return statistics;
}

// The tier from the decayed weights at `now` of all items.
int8_t slow_tier(const std::vector<Event>& events, int32_t items, int32_t item, int64_t now) {
  std::vector<double> weights(static_cast<size_t>(items), 0);
  for (const Event& event : events)
    if (event.time < now)
      weights[static_cast<size_t>(event.item)] +=
          std::exp2(-static_cast<double>(now - event.time) / (kPopularityHalfLifeDays * kDay));
  const double own = weights[static_cast<size_t>(item)];
  if (own == 0) return kNumPopularityTiers - 1;
  const double leader = *std::max_element(weights.begin(), weights.end());
  return static_cast<int8_t>(std::min(std::floor(std::log2(leader / own)), 7.0));
}

TEST(PopularityTier, is_the_share_of_the_leader_at_that_moment) {
  constexpr int32_t kItems = 30;
  Rng rng(7, "test/popularity");
  std::vector<Event> events;
  for (int e = 0; e < 2000; ++e) {
    const auto item = static_cast<int32_t>(rng.below(kItems - 1) * rng.below(kItems) / kItems);
    events.push_back({item, static_cast<int64_t>(rng.below(900 * kDay))});
  }
  const PopularityHistory history(statistics_of(events, kItems));
  std::vector<int64_t> seen(kNumPopularityTiers, 0);
  for (int q = 0; q < 3000; ++q) {
    const auto item = static_cast<int32_t>(rng.below(kItems));
    const auto now = static_cast<int64_t>(rng.below(1000 * kDay));
    const int8_t tier = history.tier(item, now);
    ++seen[static_cast<size_t>(tier)];
    ASSERT_EQ(tier, slow_tier(events, kItems, item, now)) << item << " at " << now;
  }
  for (size_t tier = 0; tier < 7; ++tier) EXPECT_GT(seen[tier], 0) << tier;
  EXPECT_GT(seen[8], 0);
}

TEST(PopularityTier, knows_nothing_of_the_moment_itself_or_later) {
  const PopularityHistory history(statistics_of({{0, 100}, {1, 200}, {1, 300}}, 3));
  EXPECT_EQ(history.tier(0, 100), 8);
  EXPECT_EQ(history.tier(0, 101), 0);
  EXPECT_EQ(history.tier(1, 200), 8);
  EXPECT_EQ(history.tier(1, 301), 0);
  EXPECT_EQ(history.tier(0, 301), 1);  // two interactions against one, a moment apart
  EXPECT_EQ(history.tier(2, 1'000'000), 8);
}

// Weights of a century ago would vanish as plain numbers.
TEST(PopularityTier, outlives_long_logs) {
  std::vector<Event> events;
  for (int64_t year = 0; year < 200; ++year)
    events.push_back({year % 2 == 0 ? 0 : 1, year * 365 * kDay});
  const PopularityHistory history(statistics_of(events, 2));
  for (int64_t year = 2; year < 200; ++year)
    EXPECT_EQ(history.tier(year % 2 == 0 ? 0 : 1, (year * 365 + 1) * kDay), 0) << year;
  EXPECT_EQ(history.tier(0, 200 * 365 * kDay), 7);
}

TEST(PopularityTier, is_added_to_histories_at_their_times_and_to_candidates_now) {
  const PopularityHistory history(statistics_of({{0, 100}, {1, 200}, {1, 300}}, 3));
  Request request;
  request.history = {0, 0};
  request.times = {100, 150};
  request.now = 301;
  request.candidates = {0, 1, 2};
  history.add_tiers(request);
  EXPECT_EQ(request.history_tiers, (std::vector<int8_t>{8, 0}));
  EXPECT_EQ(request.candidate_tiers, (std::vector<int8_t>{1, 0, 8}));
}

}  // namespace
}  // namespace etrlrec
