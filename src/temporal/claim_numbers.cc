#include "temporal/claim_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "temporal/sentence_tokens.h"

namespace etrlrec {
namespace {

using Values = ArgumentValues;
using MaybeNumber = std::optional<ClaimNumber>;
constexpr double kTolerance = 0.15;

MaybeNumber times(double value) {
  if (!(value > 0) || !std::isfinite(value)) return std::nullopt;
  return ClaimNumber{value, NumberUnit::kTimes};
}

const AttributeFact* fact_of(const ClaimContext& c, int32_t attribute) {
  return find_fact(c.facts, attribute);
}

MaybeNumber gap_number(const ClaimContext& c, const Values& v) {
  const auto n = static_cast<int32_t>(c.request.history.size());
  const auto time = [&](int32_t entry) {
    return entry == n ? c.request.now : c.request.times[static_cast<size_t>(entry)];
  };
  return ClaimNumber{static_cast<double>(std::abs(time(v[1]) - time(v[0]))), NumberUnit::kSeconds};
}
MaybeNumber count_number(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = fact_of(c, v[0]);
  return ClaimNumber{fact == nullptr ? 0.0 : fact->count, NumberUnit::kCount};
}
MaybeNumber drift_number(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = fact_of(c, v[0]);
  if (fact == nullptr || fact->count == 0 || c.request.history.size() < kMinDriftEntries)
    return std::nullopt;
  return fact->early > 0 ? times(fact->recent / fact->early) : std::nullopt;
}
MaybeNumber trans_number(const ClaimContext& c, const Values& v) {
  return times(sheet_transition_lift(c.facts, v[0], v[1]));
}
MaybeNumber due_number(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = fact_of(c, v[0]);
  return fact == nullptr ? std::nullopt : times(fact->due_ratio);
}
MaybeNumber repeat_number(const ClaimContext& c, const Values& v) {
  const AttributeFact* fact = fact_of(c, v[0]);
  if (fact == nullptr || fact->repeat_share < 0) return std::nullopt;
  return ClaimNumber{100 * fact->repeat_share, NumberUnit::kPercent};
}
MaybeNumber novelty_number(const ClaimContext& c, const Values&) {
  return ClaimNumber{100 * c.facts.novelty, NumberUnit::kPercent};
}
MaybeNumber season_lift(const ClaimContext& c, int32_t attribute) {
  const AttributeFact* fact = fact_of(c, attribute);
  return fact == nullptr ? std::nullopt : times(fact->season_lift);
}
MaybeNumber season_number(const ClaimContext& c, const Values& v) { return season_lift(c, v[0]); }
MaybeNumber season_named_number(const ClaimContext& c, const Values& v) {
  return v[0] == c.facts.season ? season_lift(c, v[1]) : std::nullopt;
}

struct MeasuredRow {
  std::string_view key;  // Predicate::key()
  MaybeNumber (*measure)(const ClaimContext& context, const Values& values);
  std::string_view phrase;  // {}: the rounded number
};
constexpr std::array kRows{
    MeasuredRow{"gap(entry,moment,bucket)", gap_number, "{}"},
    MeasuredRow{"count(attribute,number)", count_number, "{}"},
    MeasuredRow{"absent(attribute)", count_number, "{}"},
    MeasuredRow{"long(attribute)", count_number, "{}"},
    MeasuredRow{"up(attribute)", drift_number, "{} times as often as earlier"},
    MeasuredRow{"down(attribute)", drift_number, "{} times as often as earlier"},
    MeasuredRow{"steady(attribute)", drift_number, "{} times as often as earlier"},
    MeasuredRow{"trans(attribute,attribute)", trans_number, "{} times as often as usual"},
    MeasuredRow{"due(attribute)", due_number, "{} times its usual pause"},
    MeasuredRow{"repeat(attribute)", repeat_number, "{} % of the times"},
    MeasuredRow{"explorer()", novelty_number, "{} % of the later choices were of a new kind"},
    MeasuredRow{"exploiter()", novelty_number, "{} % of the later choices were of a new kind"},
    MeasuredRow{"season(attribute)", season_number, "{} times as often as usual"},
    MeasuredRow{"season(season,attribute)", season_named_number, "{} times as often as usual"},
};

// Null where the predicate measures nothing.
const MeasuredRow* measured_row(const ResolvedClaim& claim) {
  static const std::vector<const MeasuredRow*> kByPredicate = [] {
    std::vector<const MeasuredRow*> rows;
    for (const Predicate& predicate : predicate_table()) {
      const std::string key = predicate.key();
      const auto found = std::find_if(kRows.begin(), kRows.end(),
                                      [&](const MeasuredRow& row) { return row.key == key; });
      rows.push_back(found == kRows.end() ? nullptr : &*found);
    }
    return rows;
  }();
  return kByPredicate.at(claim.index);
}

}  // namespace

MaybeNumber claim_number(const ResolvedClaim& claim, const ClaimContext& context) {
  const MeasuredRow* row = measured_row(claim);
  return row == nullptr ? std::nullopt : row->measure(context, claim.values);
}

std::string rounded_text(const ClaimNumber& number) {
  switch (number.unit) {
    case NumberUnit::kSeconds:
      return duration_text(static_cast<int64_t>(number.value));
    case NumberUnit::kTimes:
      return number.value >= 9.95 ? fmt::format("{:.0f}", number.value)
                                  : fmt::format("{:.1f}", number.value);
    case NumberUnit::kPercent:
    case NumberUnit::kCount:
      break;
  }
  return fmt::format("{:.0f}", number.value);
}

std::string number_text(const ClaimNumber& number, const ResolvedClaim& claim,
                        const ClaimContext& context) {
  if (number.unit == NumberUnit::kCount)
    return fmt::format("{:.0f} of {} choices", number.value, context.request.history.size());
  const MeasuredRow* row = measured_row(claim);
  return fmt::format(fmt::runtime(row == nullptr ? "{}" : row->phrase), rounded_text(number));
}

bool agrees(double stated, double resolution, const ClaimNumber& number) {
  const double difference = std::abs(stated - number.value);
  return difference <= std::max(kTolerance * std::abs(number.value), resolution / 2 * (1 + 1e-9));
}

}  // namespace etrlrec
