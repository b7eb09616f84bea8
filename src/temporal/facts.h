// The fact sheet of a request: everything the program can know about time in one history (method.md
// E). It is a pure function of training statistics and the request. It sees nothing at or after
// the request time but the candidate list, and never the target slot. Gap words follow calendar
// lengths; periodicity is by quarter of the year only (no hours: the time zone is unknown).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "temporal/gaps.h"
#include "temporal/statistics.h"

namespace etrlrec {

inline constexpr size_t kMinDriftEntries = 4;  // shorter histories have no drift

inline constexpr double kTriggerLift = 2;       // trig(i,j) holds from here on
inline constexpr double kDirectionRatio = 1.5;  // up(a): recent share / early share
inline constexpr int64_t kMaxFactHistory = 512, kMaxFactCandidates = 4096;

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
  // Of each place of the lists in Request::known.
  struct Place {
    int32_t item = 0, candidate = -1;  // from 0; -1: no candidate
  };
  std::vector<Place> pattern, lately, after, fresh;
};

// Pure; the same inputs give the same sheet. Does not read request.target_slot (a test removes it).
// Errors (kInput): history and times of different length, times that decrease or exceed now, items
// outside of the catalogue, more than kMaxFactHistory entries or kMaxFactCandidates candidates.
FactSheet compute_facts(const Catalogue& catalogue, const TemporalStatistics& statistics,
                        const Request& request);
// The sheet in words, for people, teachers and golden tests: entries and candidates are numbered
// from 1 as in texts, and numbers are rounded to four digits.
nlohmann::ordered_json to_json(const FactSheet& facts, const Catalogue& catalogue);

// The attribute's line of the sheet, null when it is not on it.
const AttributeFact* find_fact(const FactSheet& facts, int32_t attribute);
// The lift of a transition on the sheet, 0 when it is not on it.
double sheet_transition_lift(const FactSheet& facts, int32_t from, int32_t to);

}  // namespace etrlrec
