#include <cmath>

#include "base/json.h"
#include "temporal/facts.h"
#include "temporal/names.h"

namespace etrlrec {
namespace {

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

// Entries and candidates are numbered from 1, as in texts.
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
  return json;
}

}  // namespace etrlrec
