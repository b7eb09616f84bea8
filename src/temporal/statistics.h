// What the training part of a data set says about time: how often attributes and items occur,
// follow each other and go with the seasons, counted once. Everything a fact sheet knows beyond the
// request itself comes from here (method.md E). Sessions are cut at a fixed length that the data
// set's time resolution decides.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

inline constexpr double kTransitionLift = 1.3;  // trans(a,b) holds from here on
inline constexpr double kSeasonLift = 1.2;      // season(a) holds from here on
inline constexpr int32_t kTriggerSupport = 3;   // pairs below which an item pair has no lift
inline constexpr int64_t kMaxAttributes = 4096;

// How often a simple guess about the next item was right on training events, without regard to the
// context; the only thing the programmatic teacher weighs its hypotheses by.
struct HypothesisPrecision {
  double transition =
      0;                 // the next item has the likely successor of the last item's lead attribute
  double long_term = 0;  // … the attribute that leads the history
  double season = 0;     // … the attribute that the season favours
  double recent = 0;     // … the last item's attribute (of the season's field)
  double sequel = 0;     // the next item is the next part, where there is one that was not seen yet
};

// Counted once over the training part of a data set (Split::train_end); the same data give the same
// numbers.
struct TemporalStatistics {
  int64_t num_attributes = 0;
  int64_t num_events = 0;
  std::vector<double> attribute_prior;  // [A] share of events with the attribute
  std::vector<double>
      attribute_transition;             // [A, A] n(a -> b) over consecutive events, not smoothed
  std::vector<double> transition_from;  // [A] consecutive events whose first has the attribute
  std::vector<double> seasonal;         // [4, A] events by quarter of the year and attribute
  std::array<double, 4> seasonal_events{};
  std::vector<double> item_count;  // [N] training events
  int64_t train_end_time = 0;      // latest training event
  double smoothing = 10;           // events that a prior is worth
  bool whole_days = false;         // all times are multiples of a day
  int64_t session_gap = 1800;  // a longer gap opens a session: 30 minutes, 7 days with whole days
  std::vector<int32_t> likely_successor;  // [A] attribute of the same field, -1: none lifted
  std::vector<int32_t> season_favourite;  // [4, fields], -1: none lifted
  std::vector<int32_t> series, part;      // [N] series.h
  std::vector<int64_t> pair_offsets;  // [N + 1] item pairs seen twice or more as consecutive events
  std::vector<int32_t> pair_items;    // ascending within an item
  std::vector<int32_t> pair_counts;
  std::vector<int64_t> event_offsets;        // [N + 1] into event_times
  std::vector<int64_t> event_times;          // training events of each item, ascending
  double novelty_low = 0, novelty_high = 0;  // terciles over users
  HypothesisPrecision precision;
};
// Consecutive events with equal times have no order and count nowhere as a transition.
// Errors (kInput): no training events, more than kMaxAttributes attributes.
TemporalStatistics count_statistics(const Dataset& dataset, const Split& split);

double transition_lift(const TemporalStatistics& statistics, int32_t from, int32_t to);
double seasonal_lift(const TemporalStatistics& statistics, int32_t season, int32_t attribute);
// Lift of item `to` right after `from`, 0 below kTriggerSupport.
double item_pair_lift(const TemporalStatistics& statistics, int32_t from, int32_t to);
// Training events of the item strictly before `time`, and not before `since`.
int64_t events_between(const TemporalStatistics& statistics, int32_t item, int64_t since,
                       int64_t time);
bool is_sequel(const TemporalStatistics& statistics, int32_t earlier, int32_t later);

}  // namespace etrlrec
