#include "temporal/predicates.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/check.h"
#include "temporal/gaps.h"
#include "temporal/names.h"

namespace etrlrec {
namespace {

using Values = ArgumentValues;
using enum ArgumentKind;
using enum Dimension;
using enum Demand;

constexpr int64_t kBundleEntries = 5;
constexpr int32_t kBundleSupport = 2;
constexpr double kRepeatShare = 0.5;
constexpr std::array<std::string_view, 3> kStages{"new", "active", "returning"};

Verdict when(bool holds) { return holds ? Verdict::kTrue : Verdict::kFalse; }
int32_t entries(const ClaimContext& c) { return static_cast<int32_t>(c.request.history.size()); }
int32_t count_of(const ClaimContext& c, int32_t attribute) {
  const AttributeFact* fact = find_fact(c.facts, attribute);
  return fact == nullptr ? 0 : fact->count;
}
bool contains(const std::vector<int32_t>& all, int32_t value) {
  return std::find(all.begin(), all.end(), value) != all.end();
}
bool contains(const std::vector<EntryPair>& all, int32_t first, int32_t second) {
  return std::any_of(all.begin(), all.end(), [&](const EntryPair& pair) {
    return (first < 0 || pair.first == first) && pair.second == second;
  });
}

// IS
Verdict before(const ClaimContext& c, const Values& v) {
  return when(c.request.times[v[0]] < c.request.times[v[1]]);
}
Verdict gap(const ClaimContext& c, const Values& v) {
  const int32_t n = entries(c);
  if (v[0] == v[1]) return Verdict::kFalse;
  const int64_t from = c.request.times[v[0]];
  const int64_t to = v[1] == n ? c.request.now : c.request.times[v[1]];
  return when(gap_bucket(std::abs(to - from)) == static_cast<GapBucket>(v[2]));
}
Verdict same_session(const ClaimContext& c, const Values& v) {
  return when(v[0] != v[1] && c.facts.session[v[0]] == c.facts.session[v[1]]);
}
Verdict last_session(const ClaimContext& c, const Values& v) {
  return when(c.facts.session[v[0]] + 1 == c.facts.num_sessions);
}
Verdict shift(const ClaimContext& c, const Values& v) {
  return when(c.facts.shift >= 0 && std::abs(v[0] - c.facts.shift) <= 1);
}
Verdict trig(const ClaimContext& c, const Values& v) {
  return when(contains(c.facts.triggers, v[0], v[1]));
}
Verdict recent(const ClaimContext& c, const Values& v) { return when(v[0] + 2 >= entries(c)); }
Verdict sequel(const ClaimContext& c, const Values& v) {
  return when(contains(c.facts.sequels, -1, v[0]));
}
Verdict sequel_of(const ClaimContext& c, const Values& v) {
  return when(contains(c.facts.sequels, v[0], v[1]));
}

// IAT
Verdict direction(const ClaimContext& c, int32_t attribute, int8_t expected) {
  if (c.request.history.size() < kMinDriftEntries) return Verdict::kUnverifiable;
  const AttributeFact* fact = find_fact(c.facts, attribute);
  return when(fact != nullptr && fact->count > 0 && fact->direction == expected);
}
Verdict up(const ClaimContext& c, const Values& v) { return direction(c, v[0], 1); }
Verdict down(const ClaimContext& c, const Values& v) { return direction(c, v[0], -1); }
Verdict steady(const ClaimContext& c, const Values& v) { return direction(c, v[0], 0); }
Verdict count(const ClaimContext& c, const Values& v) { return when(count_of(c, v[0]) == v[1]); }
Verdict absent(const ClaimContext& c, const Values& v) { return when(count_of(c, v[0]) == 0); }
Verdict trans(const ClaimContext& c, const Values& v) {
  return when(sheet_transition_lift(c.facts, v[0], v[1]) >= kTransitionLift);
}
Verdict bundle(const ClaimContext& c, const Values& v) {
  if (v[0] == v[1]) return Verdict::kFalse;
  const auto& history = c.request.history;
  const auto first = history.end() - std::min<int64_t>(kBundleEntries, entries(c));
  return when(std::count_if(first, history.end(), [&](int32_t item) {
                return has_attribute(c.catalogue, item, v[0]) &&
                       has_attribute(c.catalogue, item, v[1]);
              }) >= kBundleSupport);
}

// UET
Verdict long_term(const ClaimContext& c, const Values& v) {
  return when(contains(c.facts.long_term, v[0]));
}
Verdict short_term(const ClaimContext& c, const Values& v) {
  return when(contains(c.facts.short_term, v[0]));
}
Verdict conflict(const ClaimContext& c, const Values& v) {
  const auto& fields = c.catalogue.attribute_fields;
  return when(fields[v[0]] == fields[v[1]] && contains(c.facts.long_term, v[0]) &&
              contains(c.facts.short_term, v[1]) && !contains(c.facts.short_term, v[0]) &&
              !contains(c.facts.long_term, v[1]));
}
Verdict explorer(const ClaimContext& c, const Values&) { return when(c.facts.explorer > 0); }
Verdict exploiter(const ClaimContext& c, const Values&) { return when(c.facts.explorer < 0); }
Verdict stage(const ClaimContext& c, const Values& v) {
  return when(kStages[v[0]] == c.facts.stage);
}
Verdict due(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = find_fact(c.facts, v[0]);
  if (fact == nullptr || fact->due_ratio <= 0) return Verdict::kUnverifiable;
  return when(fact->due_ratio >= 1);
}
Verdict repeat(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = find_fact(c.facts, v[0]);
  if (fact == nullptr || fact->repeat_share < 0) return Verdict::kUnverifiable;
  return when(fact->repeat_share >= kRepeatShare);
}
Verdict season(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = find_fact(c.facts, v[0]);
  return when(fact != nullptr && fact->season_lift >= kSeasonLift);
}
Verdict season_named(const ClaimContext& c, const Values& v) {
  return v[0] == c.facts.season ? season(c, {v[1]}) : Verdict::kFalse;
}

// link
Verdict has(const ClaimContext& c, int32_t candidate, std::initializer_list<int32_t> attributes) {
  return when(std::all_of(attributes.begin(), attributes.end(), [&](int32_t a) {
    return has_attribute(c.catalogue, c.request.candidates[candidate], a);
  }));
}
Verdict has_ka(const ClaimContext& c, const Values& v) { return has(c, v[0], {v[1]}); }
Verdict has_ak(const ClaimContext& c, const Values& v) { return has(c, v[1], {v[0]}); }
Verdict has_aka(const ClaimContext& c, const Values& v) { return has(c, v[1], {v[0], v[2]}); }
Verdict has_aak(const ClaimContext& c, const Values& v) { return has(c, v[2], {v[0], v[1]}); }
Verdict lack(const ClaimContext& c, const Values& v) {
  const auto& all = c.request.candidates;
  return when(std::none_of(all.begin(), all.end(),
                           [&](int32_t item) { return has_attribute(c.catalogue, item, v[0]); }));
}

// pattern
Verdict first_candidate(const ClaimContext& c, const Values& v) {
  if (c.facts.pattern.empty()) return Verdict::kUnverifiable;
  return when(c.facts.pattern.front().candidate == v[0]);
}
Verdict first_attribute(const ClaimContext& c, const Values& v) {
  if (c.facts.pattern.empty()) return Verdict::kUnverifiable;
  return when(has_attribute(c.catalogue, c.facts.pattern.front().item, v[0]));
}
Verdict rank(const ClaimContext& c, const Values& v) {
  return when(c.facts.pattern[static_cast<size_t>(v[1])].candidate == v[0]);
}

// time: what everybody's events before now say. Nothing was chosen before: nobody can tell.
using Places = std::vector<FactSheet::Place>;
Verdict leads(const ClaimContext& c, const Places& list, int32_t candidate) {
  if (c.facts.lately.empty()) return Verdict::kUnverifiable;
  return when(!list.empty() && list.front().candidate == candidate);
}
Verdict leads_with(const ClaimContext& c, const Places& list, int32_t attribute) {
  if (c.facts.lately.empty()) return Verdict::kUnverifiable;
  return when(!list.empty() && has_attribute(c.catalogue, list.front().item, attribute));
}
Verdict lately_candidate(const ClaimContext& c, const Values& v) {
  return leads(c, c.facts.lately, v[0]);
}
Verdict lately_attribute(const ClaimContext& c, const Values& v) {
  return leads_with(c, c.facts.lately, v[0]);
}
Verdict after_candidate(const ClaimContext& c, const Values& v) {
  return leads(c, c.facts.after, v[0]);
}
Verdict after_attribute(const ClaimContext& c, const Values& v) {
  return leads_with(c, c.facts.after, v[0]);
}
Verdict fresh_candidate(const ClaimContext& c, const Values& v) {
  if (c.facts.lately.empty()) return Verdict::kUnverifiable;
  return when(std::any_of(c.facts.fresh.begin(), c.facts.fresh.end(),
                          [&](const FactSheet::Place& place) { return place.candidate == v[0]; }));
}
Verdict fresh_attribute(const ClaimContext& c, const Values& v) {
  return leads_with(c, c.facts.fresh, v[0]);
}

// What the writer wishes cannot be checked, so it is never false.
Verdict wish(const ClaimContext&, const Values&) { return Verdict::kTrue; }

constexpr std::array kTable{
    Predicate{"before", kIS, {kEntry, kEntry, kNone}, before},
    Predicate{"gap", kIS, {kEntry, kMoment, kBucket}, gap},
    Predicate{"same_session", kIS, {kEntry, kEntry, kNone}, same_session},
    Predicate{"last_session", kIS, {kEntry, kNone, kNone}, last_session},
    Predicate{"shift", kIS, {kEntry, kNone, kNone}, shift},
    Predicate{"trig", kIS, {kEntry, kEntry, kNone}, trig},
    Predicate{"recent", kIS, {kEntry, kNone, kNone}, recent},
    Predicate{"sequel", kIS, {kCandidate, kNone, kNone}, sequel, kSequel},
    Predicate{"sequel", kIS, {kEntry, kCandidate, kNone}, sequel_of, kSequel},
    Predicate{"up", kIAT, {kAttribute, kNone, kNone}, up},
    Predicate{"down", kIAT, {kAttribute, kNone, kNone}, down, kNothing, "up"},
    Predicate{"steady", kIAT, {kAttribute, kNone, kNone}, steady},
    Predicate{"count", kIAT, {kAttribute, kNumber, kNone}, count},
    Predicate{"trans", kIAT, {kAttribute, kAttribute, kNone}, trans},
    Predicate{"bundle", kIAT, {kAttribute, kAttribute, kNone}, bundle},
    Predicate{"absent", kIAT, {kAttribute, kNone, kNone}, absent},
    Predicate{"long", kUET, {kAttribute, kNone, kNone}, long_term},
    Predicate{"short", kUET, {kAttribute, kNone, kNone}, short_term},
    Predicate{"conflict", kUET, {kAttribute, kAttribute, kNone}, conflict},
    Predicate{"explorer", kUET, {kNone, kNone, kNone}, explorer},
    Predicate{"exploiter", kUET, {kNone, kNone, kNone}, exploiter},
    Predicate{"stage", kUET, {kStage, kNone, kNone}, stage},
    Predicate{"due", kUET, {kAttribute, kNone, kNone}, due},
    Predicate{"repeat", kUET, {kAttribute, kNone, kNone}, repeat},
    Predicate{"season", kUET, {kAttribute, kNone, kNone}, season},
    Predicate{"season", kUET, {kSeason, kAttribute, kNone}, season_named},
    Predicate{"has", kLink, {kCandidate, kAttribute, kNone}, has_ka},
    Predicate{"has", kLink, {kAttribute, kCandidate, kNone}, has_ak},
    Predicate{"has", kLink, {kAttribute, kCandidate, kAttribute}, has_aka},
    Predicate{"has", kLink, {kAttribute, kAttribute, kCandidate}, has_aak},
    Predicate{"lack", kLink, {kAttribute, kNone, kNone}, lack, kLack},
    Predicate{"need", kLink, {kAttribute, kNone, kNone}, wish, kNeed},
    Predicate{"need", kLink, {kAttribute, kAttribute, kNone}, wish, kNeed},
    Predicate{"avoid", kLink, {kAttribute, kNone, kNone}, wish, kAvoid, "need"},
    Predicate{"prune", kLink, {kCandidate, kNone, kNone}, wish, kPrune, "pick"},
    Predicate{"pick", kLink, {kCandidate, kNone, kNone}, wish, kPick},
    Predicate{"pick", kLink, {kAttribute, kCandidate, kNone}, has_ak, kPick},
    Predicate{"pick", kLink, {kAttribute, kAttribute, kCandidate}, has_aak, kPick},
    Predicate{"first", kIS, {kCandidate, kNone, kNone}, first_candidate},
    Predicate{"first", kIAT, {kAttribute, kNone, kNone}, first_attribute},
    Predicate{"rank", kIS, {kCandidate, kPlace, kNone}, rank},
    Predicate{"follow", kLink, {kPlace, kNone, kNone}, wish, kFollow},
    Predicate{"lately", kIS, {kCandidate, kNone, kNone}, lately_candidate},
    Predicate{"lately", kIAT, {kAttribute, kNone, kNone}, lately_attribute},
    Predicate{"after", kIS, {kCandidate, kNone, kNone}, after_candidate},
    Predicate{"after", kIAT, {kAttribute, kNone, kNone}, after_attribute},
    Predicate{"fresh", kIS, {kCandidate, kNone, kNone}, fresh_candidate},
    Predicate{"fresh", kIAT, {kAttribute, kNone, kNone}, fresh_attribute},
};

// Digits only, at most six, no leading zero; -1 when it is nothing of the kind.
int32_t parse_number(std::string_view text) {
  if (text.empty() || text.size() > 6 || (text.size() > 1 && text.front() == '0')) return -1;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return -1;
  int32_t value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

template <typename Words>
int32_t find_word(const Words& words, std::string_view word) {
  const auto found = std::find(words.begin(), words.end(), word);
  return found == words.end() ? -1 : static_cast<int32_t>(found - words.begin());
}

// Value of an argument, -1 when it names nothing in this context.
int32_t parse_argument(ArgumentKind kind, std::string_view text, const ClaimContext& context) {
  const int64_t limit = argument_domain(kind, context);
  switch (kind) {
    case kMoment:
      if (text == "now") return entries(context);
      [[fallthrough]];
    case kEntry: {
      const int32_t entry = parse_number(text) - 1;
      return entry >= 0 && entry < entries(context) ? entry : -1;
    }
    case kCandidate: {
      const int32_t candidate = parse_number(text) - 1;
      return candidate >= 0 && candidate < limit ? candidate : -1;
    }
    case kPlace: {
      const int32_t place = parse_number(text) - 1;
      return place >= 0 && place < limit ? place : -1;
    }
    case kAttribute:
      return find_attribute(context.catalogue, text);
    case kBucket:
      return find_gap_bucket(text);
    case kNumber:
      return parse_number(text);
    case kSeason:
      return find_season(text);
    case kStage:
      return find_word(kStages, text);
    case kNone:
      break;
  }
  return -1;
}

constexpr std::array kKindNames{"none",   "entry",  "moment", "candidate", "attribute",
                                "bucket", "number", "season", "stage",     "place"};
constexpr bool every_kind_has_a_name() {
  for (const Predicate& predicate : kTable)
    for (const ArgumentKind kind : predicate.kinds)
      if (static_cast<size_t>(kind) >= kKindNames.size()) return false;
  return true;
}
static_assert(every_kind_has_a_name(), "an ArgumentKind of kTable has no name in kKindNames");

}  // namespace

size_t Predicate::arity() const {
  return static_cast<size_t>(std::find(kinds.begin(), kinds.end(), kNone) - kinds.begin());
}

std::string Predicate::key() const {
  std::string arguments;
  for (size_t i = 0; i < arity(); ++i)
    arguments += fmt::format("{}{}", i == 0 ? "" : ",", kKindNames[static_cast<size_t>(kinds[i])]);
  return fmt::format("{}({})", name, arguments);
}

std::string_view stage_word(int32_t stage) { return kStages.at(static_cast<size_t>(stage)); }

std::span<const Predicate> predicate_table() { return kTable; }

std::optional<ResolvedClaim> resolve_claim(const Claim& claim, const ClaimContext& context) {
  for (size_t p = 0; p < kTable.size(); ++p) {
    const Predicate& predicate = kTable[p];
    if (predicate.name != claim.predicate || predicate.arity() != claim.arguments.size()) continue;
    ResolvedClaim resolved{p, {}};
    bool known = true;
    for (size_t i = 0; i < predicate.arity() && known; ++i) {
      resolved.values[i] = parse_argument(predicate.kinds[i], claim.arguments[i], context);
      known = resolved.values[i] >= 0;
    }
    if (known) return resolved;
  }
  return std::nullopt;
}

std::string argument_word(ArgumentKind kind, int32_t value, const ClaimContext& context) {
  switch (kind) {
    case kMoment:
      if (value == entries(context)) return "now";
      [[fallthrough]];
    case kEntry:
    case kCandidate:
    case kPlace:
      return fmt::format("{}", value + 1);
    case kAttribute:
      return attribute_word(context.catalogue, value);
    case kBucket:
      return gap_word(static_cast<GapBucket>(value));
    case kSeason:
      return season_word(value);
    case kStage:
      return std::string(stage_word(value));
    case kNumber:
    case kNone:
      break;
  }
  return fmt::format("{}", value);
}

int64_t argument_domain(ArgumentKind kind, const ClaimContext& context) {
  const int64_t n = entries(context);
  switch (kind) {
    case kEntry:
      return n;
    case kMoment:
      return n + 1;
    case kCandidate:
      return static_cast<int64_t>(context.request.candidates.size());
    case kAttribute:
      return static_cast<int64_t>(context.facts.attributes.size());
    case kBucket:
      return kNumGapBuckets;
    case kNumber:
      return n + 1;
    case kSeason:
      return 4;
    case kStage:
      return static_cast<int64_t>(kStages.size());
    case kPlace:
      return static_cast<int64_t>(context.facts.pattern.size());
    case kNone:
      break;
  }
  return 1;
}

int32_t argument_value(ArgumentKind kind, int64_t position, const ClaimContext& context) {
  if (kind == kAttribute) return context.facts.attributes[position].attribute;
  return static_cast<int32_t>(position);
}

}  // namespace etrlrec
