// The fact sheet of a request (method.md E.2): everything the program can know about time in one
// history, as a pure function of training statistics and the request. It sees nothing at or after
// the request time but the candidate list, never the target slot, and has a stable, hashable JSON
// form. Departures from E.2: gap words on calendar lengths instead of powers of two; sessions cut
// at a fixed length that the data set's time resolution decides; periodicity by quarter of the year
// only (no hours: the time zone is unknown).
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

// Gap words of E.2; order matters. Upper ends: 0 s, under 30 min, 1 day, 7 days, 30 days, 92 days,
// 366 days.
enum class GapBucket : int8_t { kTie, kSitting, kDay, kWeek, kMonth, kQuarter, kYear, kLonger };
inline constexpr int32_t kNumGapBuckets = 8;
const char* gap_word(
    GapBucket bucket);  // "tie" "sitting" "day" "week" "month" "quarter" "year" "longer"
GapBucket gap_bucket(int64_t seconds);  // seconds >= 0

inline constexpr double kTransitionLift = 1.3;  // trans(a,b) holds from here on
inline constexpr double kTriggerLift = 2;       // trig(i,j), with at least kTriggerSupport pairs
inline constexpr int32_t kTriggerSupport = 3;
inline constexpr double kSeasonLift = 1.2;      // season(a)
inline constexpr double kDirectionRatio = 1.5;  // up(a): recent share / early share
inline constexpr int64_t kMaxFactHistory = 512, kMaxFactCandidates = 4096, kMaxAttributes = 4096;

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
  std::vector<double>
      item_recency;  // [N] exponentially weighted count (half-life 30 days) at the end of training
  int64_t train_end_time = 0;  // latest training event
  double smoothing = 10;       // alpha of E.2
  bool whole_days = false;     // all times are multiples of a day
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

struct AttributeFact {
  int32_t attribute = 0;
  int32_t count = 0;             // history entries that have it
  double early = 0, recent = 0;  // smoothed shares p_E, p_L
  int8_t direction = 0;          // +1 up, 0 steady, -1 down
  double season_lift = 1;        // of the request's quarter
  double due_ratio =
      0;  // time since the last entry with it / median time between two; 0: below three entries
  double repeat_share =
      -1;  // of its entries but the last, those directly followed by another; -1: below two
};
struct EntryPair {
  int32_t first = 0, second = 0;  // 0-based entries of the history, or entry and candidate
};

struct FactSheet {
  std::vector<GapBucket> gaps;  // gaps[j]: between history entries j-1 and j; gaps[n]: last entry
                                // to now; gaps[0] has no meaning (kLonger)
  std::vector<double>
      personal_gaps;  // the same gaps / the median of those of this history above 0; 0: none such
  std::vector<int32_t> session;  // session number of each entry, from 0
  int32_t num_sessions = 0;
  bool session_goes_on = false;  // now belongs to the last session
  int32_t season = 0;            // quarter of the year of the request
  int32_t shift = -1;            // first entry after a permutation-tested change point, -1 none
  double shift_p = 1;            // its p-value against 200 order permutations
  double drift = 0;              // Jensen-Shannon divergence of early and recent half, nats
  std::vector<AttributeFact>
      attributes;  // ascending ids: those that occur in the history or among the candidates, or
                   // that the transition or season points to
  std::vector<int32_t> long_term,
      short_term;      // attributes leading the whole history / the last entries, best first:
                       // of each field those within 3/4 of the best
  double novelty = 0;  // share of the later half's entries whose attribute set was unseen
  int8_t explorer =
      0;  // +1 novelty in the upper third of users, -1 lower third, 0 between or unknown
  std::string stage;                     // new | active | returning
  std::vector<int32_t> transition_from;  // ascending ids: attributes of the history
  std::vector<float> transition_lift;    // [from, attributes]
  std::vector<EntryPair> triggers;  // entries i, j (i before j) with item_pair_lift >= kTriggerLift
  std::vector<EntryPair> sequels;   // entry, candidate: the candidate is the entry's next part
  std::vector<int64_t> candidate_events;  // [n] training events strictly before now
  std::vector<int64_t> candidate_recent;  // [n] the same within the last 90 days
};

// Pure; the same inputs give the same sheet. Does not read request.target_slot (a test removes it).
// Errors (kInput): history and times of different length, times that decrease or exceed now, items
// outside of the catalogue, more than kMaxFactHistory entries or kMaxFactCandidates candidates.
FactSheet compute_facts(const Catalogue& catalogue, const TemporalStatistics& statistics,
                        const Request& request);
nlohmann::ordered_json to_json(const FactSheet& facts, const Catalogue& catalogue);

// The attribute's line of the sheet, null when it is not on it.
const AttributeFact* find_fact(const FactSheet& facts, int32_t attribute);
// The lift of a transition on the sheet, 0 when it is not on it.
double sheet_transition_lift(const FactSheet& facts, int32_t from, int32_t to);
// Leading attribute of a field in long_term or short_term, -1 none.
int32_t leader_of(std::span<const int32_t> leaders, const Catalogue& catalogue, int32_t field);

}  // namespace etrlrec
