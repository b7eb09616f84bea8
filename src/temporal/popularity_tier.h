// How popular an item is at a moment, as one word. Counted from training events strictly before the
// moment, each of which loses half its weight in 30 days, and compared with the item that leads at
// that moment: a count would say how busy the log is, a share of the leader says what people watch
// now. The words let a language model know what drifts after it was trained.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "temporal/statistics.h"

namespace etrlrec {

struct Request;

inline constexpr double kPopularityHalfLifeDays = 30;
// Tier k < 8 has more than 2^-(k+1) and at most 2^-k of the leader's weight, tier 7 everything
// below, tier 8 no event yet.
inline constexpr int8_t kNumPopularityTiers = 9;

// "top" "big" "liked" "known" "some" "few" "rare" "scarce" "unseen"
std::string_view popularity_word(int8_t tier);

class PopularityHistory {
 public:
  explicit PopularityHistory(const TemporalStatistics& statistics);
  int8_t tier(int32_t item, int64_t now) const;
  // Of every entry of the history at its own time, and of every candidate at the request time.
  void add_tiers(Request& request) const;

 private:
  // The level of an item after an event is log2 of its weight plus the event's time in half-lives:
  // levels compare across times, and none vanishes.
  std::vector<int64_t> offsets_, times_;  // events of each item, ascending
  std::vector<double> levels_;
  std::vector<int64_t> leader_times_;  // all events, ascending
  std::vector<double> leader_levels_;  // the highest level up to each
};

}  // namespace etrlrec
