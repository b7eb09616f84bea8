#include "temporal/fact_sentences.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "temporal/claim_numbers.h"
#include "temporal/names.h"
#include "temporal/predicates.h"

namespace etrlrec {
namespace {

constexpr int32_t kLastEntries = 8;  // older ones are not spoken of

// What the sheet says of a predicate. Predicates that hold nearly always (before, recent) or for
// nearly everything (absent) tell nothing and are left out.
struct SheetRow {
  std::string_view key;
  size_t most = 1;
  bool of_times = false;
};
constexpr std::array kSheet{
    SheetRow{"gap(entry,moment,bucket)", 3, true},
    SheetRow{"same_session(entry,entry)", 1, true},
    SheetRow{"shift(entry)"},
    SheetRow{"trig(entry,entry)", 2},
    SheetRow{"sequel(entry,candidate)", 2},
    SheetRow{"first(candidate)"},
    SheetRow{"lately(candidate)"},
    SheetRow{"after(candidate)"},
    SheetRow{"fresh(candidate)", 2},
    SheetRow{"trans(attribute,attribute)", 3},
    SheetRow{"up(attribute)", 2},
    SheetRow{"down(attribute)", 2},
    SheetRow{"count(attribute,number)", 2},
    SheetRow{"bundle(attribute,attribute)"},
    SheetRow{"long(attribute)", 2},
    SheetRow{"short(attribute)", 2},
    SheetRow{"conflict(attribute,attribute)"},
    SheetRow{"explorer()"},
    SheetRow{"exploiter()"},
    SheetRow{"stage(stage)", 1, true},
    SheetRow{"due(attribute)", 1, true},
    SheetRow{"repeat(attribute)"},
    SheetRow{"season(season,attribute)", 2, true},
};

// The positions of an argument that are looked at: of entries the last ones.
std::pair<int64_t, int64_t> positions(ArgumentKind kind, const ClaimContext& context) {
  const int64_t end = argument_domain(kind, context);
  const bool is_entry = kind == ArgumentKind::kEntry || kind == ArgumentKind::kMoment;
  return {is_entry ? std::max<int64_t>(0, end - kLastEntries) : 0, end};
}

bool is_told(const Predicate& predicate, const ArgumentValues& values,
             const ClaimContext& context) {
  // Only the time from one entry to the next, or to now.
  if (predicate.name == "gap") return values[1] == values[0] + 1;
  // An attribute that was never chosen is no count, and pairs are told once.
  if (predicate.name == "count") return values[1] > 0;
  if (predicate.name == "bundle" || predicate.name == "same_session") return values[0] < values[1];
  if (predicate.name != "trans" || context.request.history.empty()) return true;
  return has_attribute(context.catalogue, context.request.history.back(), values[0]);
}

struct Found {
  ArgumentValues values{};
  double strength = 0;
};

std::vector<Found> true_values(size_t index, const ClaimContext& context) {
  const Predicate& predicate = predicate_table()[index];
  std::array<std::pair<int64_t, int64_t>, 3> ranges;
  for (size_t i = 0; i < 3; ++i) ranges[i] = positions(predicate.kinds[i], context);
  std::vector<Found> found;
  for (int64_t a = ranges[0].second - 1; a >= ranges[0].first; --a)
    for (int64_t b = ranges[1].second - 1; b >= ranges[1].first; --b)
      for (int64_t c = ranges[2].second - 1; c >= ranges[2].first; --c) {
        const std::array<int64_t, 3> at{a, b, c};
        Found one;
        for (size_t i = 0; i < predicate.arity(); ++i)
          one.values[i] = argument_value(predicate.kinds[i], at[i], context);
        if (!is_told(predicate, one.values, context) ||
            predicate.evaluate(context, one.values) != Verdict::kTrue)
          continue;
        const auto number = claim_number({index, one.values}, context);
        const bool is_measure = number && number->unit != NumberUnit::kSeconds;
        if (is_measure) one.strength = predicate.name == "down" ? -number->value : number->value;
        found.push_back(one);
      }
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& x, const Found& y) { return x.strength > y.strength; });
  return found;
}

}  // namespace

std::vector<FactClaim> true_claims(const ClaimContext& context, bool with_times,
                                   bool names_candidates) {
  std::vector<FactClaim> claims;
  for (const SheetRow& row : kSheet) {
    if (row.of_times && !with_times) continue;
    const auto& table = predicate_table();
    const auto predicate = std::find_if(table.begin(), table.end(),
                                        [&](const Predicate& p) { return p.key() == row.key; });
    const auto index = static_cast<size_t>(predicate - table.begin());
    const auto& kinds = predicate->kinds;
    const bool of_candidate =
        std::find(kinds.begin(), kinds.end(), ArgumentKind::kCandidate) != kinds.end();
    if (of_candidate && !names_candidates) continue;
    std::vector<Found> found = true_values(index, context);
    if (found.size() > row.most) found.resize(row.most);
    for (const Found& one : found) {
      FactClaim& fact = claims.emplace_back();
      fact.dimension = predicate->dimension;
      fact.claim.predicate = predicate->name;
      for (size_t i = 0; i < predicate->arity(); ++i)
        fact.claim.arguments.push_back(argument_word(kinds[i], one.values[i], context));
    }
  }
  std::stable_sort(claims.begin(), claims.end(), [](const FactClaim& x, const FactClaim& y) {
    return x.dimension < y.dimension;
  });
  return claims;
}

}  // namespace etrlrec
