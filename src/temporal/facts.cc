#include "temporal/facts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "temporal/change_point.h"
#include "temporal/names.h"
#include "temporal/profile.h"

namespace etrlrec {
namespace {

constexpr double kShareSmoothing = 2;  // alpha of p_W(a)
constexpr double kShiftLevel = 0.05;
constexpr int64_t kRecentSeconds = 90 * 86400;
constexpr size_t kNewEntries = 5;
constexpr double kReturningGap = 3;  // personal gap

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void check_request(const Catalogue& catalogue, const Request& request) {
  const size_t n = request.history.size();
  CHECK(request.times.size() == n, kInput,
        "request: expected {} times, one for each entry, found {}", n, request.times.size());
  CHECK(static_cast<int64_t>(n) <= kMaxFactHistory, kInput,
        "request: expected at most {} history entries, found {}", kMaxFactHistory, n);
  CHECK(static_cast<int64_t>(request.candidates.size()) <= kMaxFactCandidates, kInput,
        "request: expected at most {} candidates, found {}", kMaxFactCandidates,
        request.candidates.size());
  for (size_t j = 0; j < n; ++j) {
    const int64_t next = j + 1 < n ? request.times[j + 1] : request.now;
    CHECK(request.times[j] <= next, kInput,
          "request: expected times in ascending order up to now, found {} before {}",
          request.times[j], next);
  }
  const KnownItems& known = request.known;
  for (const auto* items : {&request.history, &request.candidates, &known.pattern, &known.lately,
                            &known.after, &known.fresh})
    for (const int32_t item : *items)
      CHECK(item >= 0 && item < catalogue.num_items(), kInput,
            "request: expected items below {}, found {}", catalogue.num_items(), item);
}

class Builder {
 public:
  Builder(const Catalogue& catalogue, const TemporalStatistics& statistics, const Request& request)
      : catalogue_(catalogue),
        statistics_(statistics),
        request_(request),
        n_(request.history.size()) {}

  FactSheet build() {
    facts_.season = season_index(request_.now);
    add_gaps_and_sessions();
    add_profiles();
    add_attributes();
    add_transitions();
    const ChangePoint change(catalogue_, request_);
    const auto [split, p] = change.test();
    facts_.shift_p = p;
    if (split >= 0 && p < kShiftLevel) facts_.shift = split;
    if (n_ >= kMinDriftEntries) facts_.drift = change.divergence_at(n_ / 2);
    add_pairs();
    add_known();
    add_stage();
    return std::move(facts_);
  }

 private:
  int64_t gap_before(size_t j) const {
    return (j == n_ ? request_.now : request_.times[j]) - request_.times[j - 1];
  }

  void add_gaps_and_sessions() {
    facts_.gaps.assign(n_ + 1, GapBucket::kLonger);
    facts_.personal_gaps.assign(n_ + 1, 0.0);
    facts_.session.assign(n_, 0);
    std::vector<double> positive;
    for (size_t j = 1; j < n_; ++j)
      if (gap_before(j) > 0) positive.push_back(static_cast<double>(gap_before(j)));
    const double middle = median(std::move(positive));
    for (size_t j = 1; j <= n_; ++j) {
      facts_.gaps[j] = gap_bucket(gap_before(j));
      if (middle > 0) facts_.personal_gaps[j] = static_cast<double>(gap_before(j)) / middle;
      const bool same = gap_before(j) <= statistics_.session_gap;
      if (j < n_)
        facts_.session[j] = facts_.session[j - 1] + (same ? 0 : 1);
      else
        facts_.session_goes_on = same;
    }
    facts_.num_sessions = n_ == 0 ? 0 : facts_.session.back() + 1;
  }

  void add_profiles() {
    facts_.long_term =
        leading_attributes(catalogue_, request_.history, visit_weights(request_.times));
    facts_.short_term = leading_attributes(catalogue_, request_.history, recent_weights(n_));
    const double novelty = novelty_share(catalogue_, request_.history);
    facts_.novelty = std::max(0.0, novelty);
    const double low = statistics_.novelty_low, high = statistics_.novelty_high;
    if (novelty < 0 || low >= high) return;
    if (novelty >= high) facts_.explorer = 1;
    if (novelty <= low) facts_.explorer = -1;
  }

  void add_attributes() {
    std::set<int32_t> ids;
    for (const auto* items : {&request_.history, &request_.candidates})
      for (const int32_t item : *items)
        for (const int32_t a : catalogue_.attributes_of(item)) ids.insert(a);
    if (n_ > 0)
      for (const int32_t a : catalogue_.attributes_of(request_.history.back()))
        if (statistics_.likely_successor[a] >= 0) ids.insert(statistics_.likely_successor[a]);
    const size_t fields = catalogue_.fields.size();
    for (size_t f = 0; f < fields; ++f) {
      const int32_t favoured = statistics_.season_favourite[facts_.season * fields + f];
      if (favoured >= 0) ids.insert(favoured);
    }
    for (const int32_t a : ids) facts_.attributes.push_back(attribute_fact(a));
  }

  AttributeFact attribute_fact(int32_t a) const {
    AttributeFact fact;
    fact.attribute = a;
    const size_t half = n_ / 2;
    std::vector<size_t> entries;
    double early = 0, recent = 0;
    for (size_t j = 0; j < n_; ++j) {
      if (!has_attribute(catalogue_, request_.history[j], a)) continue;
      entries.push_back(j);
      (j < half ? early : recent) += 1;
    }
    fact.count = static_cast<int32_t>(entries.size());
    const double prior = kShareSmoothing * statistics_.attribute_prior[a];
    fact.early = (early + prior) / (static_cast<double>(half) + kShareSmoothing);
    fact.recent = (recent + prior) / (static_cast<double>(n_ - half) + kShareSmoothing);
    if (n_ >= kMinDriftEntries && fact.early > 0) {
      const double ratio = std::log(fact.recent / fact.early);
      fact.direction = static_cast<int8_t>((ratio > std::log(kDirectionRatio)) -
                                           (ratio < -std::log(kDirectionRatio)));
    }
    fact.season_lift = seasonal_lift(statistics_, facts_.season, a);
    add_rhythm(entries, fact);
    return fact;
  }

  void add_rhythm(const std::vector<size_t>& entries, AttributeFact& fact) const {
    if (entries.size() >= 3) {
      std::vector<double> between;
      for (size_t k = 1; k < entries.size(); ++k)
        between.push_back(
            static_cast<double>(request_.times[entries[k]] - request_.times[entries[k - 1]]));
      const double middle = median(std::move(between));
      const auto since = static_cast<double>(request_.now - request_.times[entries.back()]);
      if (middle > 0) fact.due_ratio = since / middle;
    }
    if (entries.size() < 2) return;
    double followed = 0;
    for (size_t k = 1; k < entries.size(); ++k)
      if (entries[k] == entries[k - 1] + 1) followed += 1;
    fact.repeat_share = followed / static_cast<double>(entries.size() - 1);
  }

  void add_transitions() {
    for (const AttributeFact& fact : facts_.attributes) {
      if (fact.count == 0) continue;
      facts_.transition_from.push_back(fact.attribute);
      for (const AttributeFact& to : facts_.attributes)
        facts_.transition_lift.push_back(
            static_cast<float>(transition_lift(statistics_, fact.attribute, to.attribute)));
    }
  }

  void add_pairs() {
    const auto n = static_cast<int32_t>(n_);
    for (int32_t i = 0; i < n; ++i) {
      for (int32_t j = i + 1; j < n; ++j)
        if (request_.times[i] < request_.times[j] &&
            item_pair_lift(statistics_, request_.history[i], request_.history[j]) >= kTriggerLift)
          facts_.triggers.push_back({i, j});
      for (size_t k = 0; k < request_.candidates.size(); ++k)
        if (is_sequel(statistics_, request_.history[i], request_.candidates[k]))
          facts_.sequels.push_back({i, static_cast<int32_t>(k)});
    }
    for (const int32_t item : request_.candidates) {
      facts_.candidate_events.push_back(events_between(statistics_, item, INT64_MIN, request_.now));
      facts_.candidate_recent.push_back(
          events_between(statistics_, item, request_.now - kRecentSeconds, request_.now));
    }
  }

  void add_known() {
    const KnownItems& known = request_.known;
    facts_.pattern = places(known.pattern);
    facts_.lately = places(known.lately);
    facts_.after = places(known.after);
    facts_.fresh = places(known.fresh);
  }

  std::vector<FactSheet::Place> places(const std::vector<int32_t>& items) const {
    const auto& all = request_.candidates;
    std::vector<FactSheet::Place> places;
    for (const int32_t item : items) {
      const auto found = std::find(all.begin(), all.end(), item);
      places.push_back({item, found == all.end() ? -1 : static_cast<int32_t>(found - all.begin())});
    }
    return places;
  }

  void add_stage() {
    const bool late =
        n_ > 0 && facts_.gaps[n_] >= GapBucket::kMonth && facts_.personal_gaps[n_] >= kReturningGap;
    facts_.stage = n_ < kNewEntries ? "new" : late ? "returning" : "active";
  }

  const Catalogue& catalogue_;
  const TemporalStatistics& statistics_;
  const Request& request_;
  const size_t n_;
  FactSheet facts_;
};

// Four digits: a stable text that does not depend on the last bits of a sum.
double rounded(double value) { return std::round(value * 1e4) / 1e4; }

OrderedJson attribute_words(const std::vector<int32_t>& attributes, const Catalogue& catalogue) {
  OrderedJson words = OrderedJson::array();
  for (const int32_t a : attributes) words.push_back(attribute_word(catalogue, a));
  return words;
}

OrderedJson pairs_json(const std::vector<EntryPair>& pairs) {
  OrderedJson rows = OrderedJson::array();
  for (const EntryPair& pair : pairs) rows.push_back({pair.first + 1, pair.second + 1});
  return rows;
}

OrderedJson attribute_json(const AttributeFact& fact, const Catalogue& catalogue) {
  constexpr const char* kDirections[] = {"down", "steady", "up"};
  OrderedJson row;
  row["name"] = attribute_word(catalogue, fact.attribute);
  row["field"] = catalogue.fields[catalogue.attribute_fields[fact.attribute]];
  row["count"] = fact.count;
  row["early"] = rounded(fact.early);
  row["recent"] = rounded(fact.recent);
  row["direction"] = kDirections[fact.direction + 1];
  row["season_lift"] = rounded(fact.season_lift);
  if (fact.due_ratio > 0) row["due_ratio"] = rounded(fact.due_ratio);
  if (fact.repeat_share >= 0) row["repeat_share"] = rounded(fact.repeat_share);
  return row;
}

OrderedJson transitions_json(const FactSheet& facts, const Catalogue& catalogue) {
  OrderedJson rows = OrderedJson::array();
  for (const int32_t from : facts.transition_from)
    for (const AttributeFact& to : facts.attributes) {
      const double lift = sheet_transition_lift(facts, from, to.attribute);
      if (lift < kTransitionLift) continue;
      rows.push_back({attribute_word(catalogue, from), attribute_word(catalogue, to.attribute),
                      rounded(lift)});
    }
  return rows;
}

}  // namespace

FactSheet compute_facts(const Catalogue& catalogue, const TemporalStatistics& statistics,
                        const Request& request) {
  check_request(catalogue, request);
  CHECK(statistics.item_count.size() == static_cast<size_t>(catalogue.num_items()) &&
            statistics.num_attributes == static_cast<int64_t>(catalogue.attributes.size()),
        kInput,
        "facts: statistics of {} items and {} attributes do not fit a catalogue of {} and {}",
        statistics.item_count.size(), statistics.num_attributes, catalogue.num_items(),
        catalogue.attributes.size());
  return Builder(catalogue, statistics, request).build();
}

const AttributeFact* find_fact(const FactSheet& facts, int32_t attribute) {
  const auto found =
      std::lower_bound(facts.attributes.begin(), facts.attributes.end(), attribute,
                       [](const AttributeFact& fact, int32_t id) { return fact.attribute < id; });
  return found != facts.attributes.end() && found->attribute == attribute ? &*found : nullptr;
}

double sheet_transition_lift(const FactSheet& facts, int32_t from, int32_t to) {
  const auto& all = facts.transition_from;
  const auto row = std::lower_bound(all.begin(), all.end(), from);
  const AttributeFact* column = find_fact(facts, to);
  if (row == all.end() || *row != from || column == nullptr) return 0;
  return facts.transition_lift[(row - all.begin()) * facts.attributes.size() +
                               (column - facts.attributes.data())];
}

nlohmann::ordered_json to_json(const FactSheet& facts, const Catalogue& catalogue) {
  OrderedJson json;
  OrderedJson gaps = OrderedJson::array(), personal = OrderedJson::array();
  for (size_t j = 1; j < facts.gaps.size(); ++j) {
    gaps.push_back(gap_word(facts.gaps[j]));
    personal.push_back(rounded(facts.personal_gaps[j]));
  }
  json["gaps"] = gaps;
  json["personal_gaps"] = personal;
  json["session"] = facts.session;
  json["num_sessions"] = facts.num_sessions;
  json["session_goes_on"] = facts.session_goes_on;
  json["season"] = season_word(facts.season);
  json["shift"] = facts.shift < 0 ? OrderedJson() : OrderedJson(facts.shift + 1);
  json["shift_p"] = rounded(facts.shift_p);
  json["drift"] = rounded(facts.drift);
  json["attributes"] = OrderedJson::array();
  for (const AttributeFact& fact : facts.attributes)
    json["attributes"].push_back(attribute_json(fact, catalogue));
  json["long_term"] = attribute_words(facts.long_term, catalogue);
  json["short_term"] = attribute_words(facts.short_term, catalogue);
  json["novelty"] = rounded(facts.novelty);
  json["explorer"] = facts.explorer;
  json["stage"] = facts.stage;
  json["transitions"] = transitions_json(facts, catalogue);
  json["triggers"] = pairs_json(facts.triggers);
  json["sequels"] = pairs_json(facts.sequels);
  json["candidate_events"] = facts.candidate_events;
  json["candidate_recent"] = facts.candidate_recent;
  const std::pair<const char*, const std::vector<FactSheet::Place>*> lists[] = {
      {"pattern", &facts.pattern},
      {"lately", &facts.lately},
      {"after", &facts.after},
      {"fresh", &facts.fresh}};
  for (const auto& [name, list] : lists)
    for (const FactSheet::Place& place : *list)
      json[name].push_back(catalogue.titles[static_cast<size_t>(place.item)]);
  return json;
}

}  // namespace etrlrec
