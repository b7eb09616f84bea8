#include "temporal/claim_weights.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "temporal/names.h"
#include "temporal/predicates.h"

namespace etrlrec {
namespace {

constexpr int kDraws = 4;  // random claims of each predicate per context
constexpr double kMinUsefulness = 0.25;

// How often a claim was true (first index) and the next item fitted it (second).
struct Table {
  std::array<std::array<double, 2>, 2> count{};
  double trials() const { return count[0][0] + count[0][1] + count[1][0] + count[1][1]; }
  double mutual_information() const {
    const double n = trials();
    double bits = 0;
    for (int x = 0; x < 2; ++x)
      for (int y = 0; y < 2; ++y) {
        const double px = count[x][0] + count[x][1], py = count[0][y] + count[1][y];
        if (count[x][y] > 0) bits += count[x][y] / n * std::log2(count[x][y] * n / (px * py));
      }
    return n > 0 ? std::max(0.0, bits) : 0;
  }
};

struct Truth {
  double right = 0, verdicts = 0;
};

// Random values for a predicate's arguments; false when a kind has no value here. Two entries are
// drawn in the order of the history, as a writer would name them.
bool draw_values(const Predicate& predicate, const ClaimContext& context, Rng& rng,
                 ArgumentValues& values) {
  for (size_t i = 0; i < predicate.arity(); ++i) {
    const int64_t domain = argument_domain(predicate.kinds[i], context);
    if (domain == 0) return false;
    values[i] =
        argument_value(predicate.kinds[i],
                       static_cast<int64_t>(rng.below(static_cast<uint64_t>(domain))), context);
  }
  const bool two =
      predicate.kinds[0] == ArgumentKind::kEntry &&
      (predicate.kinds[1] == ArgumentKind::kEntry || predicate.kinds[1] == ArgumentKind::kMoment);
  if (two && values[0] > values[1]) std::swap(values[0], values[1]);
  return !two || values[0] != values[1];
}

bool target_fits(const Predicate& predicate, const ArgumentValues& values,
                 const TrainingContext& row) {
  const ClaimContext& context = row.context;
  for (size_t i = 0; i < predicate.arity(); ++i)
    if (predicate.kinds[i] == ArgumentKind::kCandidate)
      return context.request.candidates[values[i]] == row.target_item;
  for (size_t i = 0; i < predicate.arity(); ++i)
    if (predicate.kinds[i] == ArgumentKind::kPlace)
      return context.facts.pattern[static_cast<size_t>(values[i])].item == row.target_item;
  for (size_t i = predicate.arity(); i-- > 0;)
    if (predicate.kinds[i] == ArgumentKind::kAttribute)
      return has_attribute(context.catalogue, row.target_item, values[i]);
  if (context.request.history.empty()) return false;
  const int32_t lead = lead_attribute(context.catalogue, context.request.history.back(), 0);
  return lead >= 0 && has_attribute(context.catalogue, row.target_item, lead);
}

std::vector<double> scale_usefulness(const std::vector<Table>& tables) {
  std::array<double, kNumDimensions> most{};
  std::vector<double> values;
  const auto predicates = predicate_table();
  for (size_t p = 0; p < predicates.size(); ++p) {
    values.push_back(tables[p].mutual_information());
    double& best = most[static_cast<size_t>(predicates[p].dimension)];
    best = std::max(best, values.back());
  }
  for (size_t p = 0; p < predicates.size(); ++p) {
    const double best = most[static_cast<size_t>(predicates[p].dimension)];
    values[p] = kMinUsefulness + (1 - kMinUsefulness) * (best > 0 ? values[p] / best : 0);
  }
  return values;
}

}  // namespace

std::vector<double> predicate_bits(const ClaimWeights& weights) {
  const auto predicates = predicate_table();
  std::vector<double> bits(predicates.size(), 1.0);
  if (weights.predicates.empty()) return bits;
  CHECK(weights.predicates.size() == weights.truth_rate.size() &&
            weights.predicates.size() == weights.usefulness.size(),
        kInput, "claim weights: expected three columns of one length, found {}, {} and {}",
        weights.predicates.size(), weights.truth_rate.size(), weights.usefulness.size());
  for (size_t p = 0; p < predicates.size(); ++p) {
    const std::string key = predicates[p].key();
    // Weights are written in the order of the table; elsewhere only after a change of the table.
    size_t i = p < weights.predicates.size() && weights.predicates[p] == key
                   ? p
                   : static_cast<size_t>(
                         std::find(weights.predicates.begin(), weights.predicates.end(), key) -
                         weights.predicates.begin());
    CHECK(
        i < weights.predicates.size(), kInput,
        "claim weights: predicate \"{}\" is missing\nhint: construct the reasoning again with this "
        "version",
        key);
    bits[p] = std::min(kMaxBits, -std::log2(weights.truth_rate[i])) * weights.usefulness[i];
  }
  return bits;
}

ClaimWeights measure_claim_weights(std::span<const TrainingContext> contexts, uint64_t seed) {
  for (const TrainingContext& row : contexts)
    CHECK(row.target_item >= 0 && row.target_item < row.context.catalogue.num_items(), kInput,
          "claim weights: expected a target item below {}, found {}",
          row.context.catalogue.num_items(), row.target_item);
  const auto predicates = predicate_table();
  std::vector<Truth> truths(predicates.size());
  std::vector<Table> tables(predicates.size());
  for (size_t r = 0; r < contexts.size(); ++r) {
    Rng rng(seed, "claims/weights", r);
    for (size_t p = 0; p < predicates.size(); ++p)
      for (int draw = 0; draw < kDraws; ++draw) {
        ArgumentValues values{};
        if (!draw_values(predicates[p], contexts[r].context, rng, values)) continue;
        const Verdict verdict = predicates[p].evaluate(contexts[r].context, values);
        if (verdict == Verdict::kUnverifiable) continue;
        const bool holds = verdict == Verdict::kTrue;
        truths[p].verdicts += 1;
        truths[p].right += holds;
        ++tables[p].count[holds][target_fits(predicates[p], values, contexts[r])];
      }
  }
  ClaimWeights weights;
  for (size_t p = 0; p < predicates.size(); ++p) {
    weights.predicates.push_back(predicates[p].key());
    weights.truth_rate.push_back((truths[p].right + 0.5) / (truths[p].verdicts + 1));
  }
  weights.usefulness = scale_usefulness(tables);
  return weights;
}

nlohmann::ordered_json to_json(const ClaimWeights& weights) {
  OrderedJson json = OrderedJson::object();
  for (size_t i = 0; i < weights.predicates.size(); ++i)
    json[weights.predicates[i]] = {{"truth_rate", weights.truth_rate[i]},
                                   {"usefulness", weights.usefulness[i]}};
  return json;
}

ClaimWeights claim_weights_from_json(const nlohmann::json& json, const std::string& name) {
  CHECK(json.is_object(), kInput, "{}: expected an object of predicates, found {}", name,
        json.type_name());
  ClaimWeights weights;
  for (const Predicate& predicate : predicate_table()) {
    const std::string key = predicate.key();
    const Json row = get<Json>(json, key, name);
    weights.predicates.push_back(key);
    weights.truth_rate.push_back(get<double>(row, "truth_rate", name + ": " + key));
    weights.usefulness.push_back(get<double>(row, "usefulness", name + ": " + key));
    CHECK(weights.truth_rate.back() > 0 && weights.truth_rate.back() <= 1 &&
              weights.usefulness.back() >= kMinUsefulness && weights.usefulness.back() <= 1,
          kInput,
          "{}: {}: expected truth_rate in (0, 1] and usefulness in [0.25, 1], found {} and {}",
          name, key, weights.truth_rate.back(), weights.usefulness.back());
  }
  return weights;
}

}  // namespace etrlrec
