#include "eval/reasoning_change.h"

#include <fmt/format.h>

#include <vector>

#include "base/json.h"

namespace etrlrec {
namespace {

constexpr int64_t kChangeDraws = 2000;

}  // namespace

std::optional<ReasoningChanges> summarize_changes(const Predictions& predictions, uint64_t seed) {
  ReasoningChanges changes;
  std::vector<double> variations;
  std::vector<int64_t> users;
  for (const Prediction& row : predictions.rows) {
    if (!row.change) continue;
    variations.push_back(row.change->total_variation);
    users.push_back(row.user);
    changes.claims += row.change->claims;
    changes.flipped += row.change->flipped;
    if (row.change->flipped == 0) continue;
    ++changes.flipped_rows;
    changes.flipped_total_variation += row.change->total_variation;
  }
  if (variations.empty()) return std::nullopt;
  changes.rows = std::ssize(variations);
  changes.total_variation = bootstrap_mean(variations, users, kChangeDraws, seed);
  if (changes.flipped_rows > 0)
    changes.flipped_total_variation /= static_cast<double>(changes.flipped_rows);
  return changes;
}

OrderedJson to_json(const ReasoningChanges& changes) {
  OrderedJson json = {{"rows", changes.rows},
                      {"total_variation", changes.total_variation.mean},
                      {"total_variation_low", changes.total_variation.low},
                      {"total_variation_high", changes.total_variation.high}};
  if (changes.claims == 0) return json;
  json["claims"] = changes.claims;
  json["flipped"] = changes.flipped;
  json["flipped_rows"] = changes.flipped_rows;
  json["flipped_total_variation"] = changes.flipped_total_variation;
  return json;
}

std::string reasoning_changes_text(const ReasoningChanges& changes) {
  const Interval& variation = changes.total_variation;
  std::string text = fmt::format(
      "against the model's own reasoning: total variation of the answer {:.4f} [{:.4f}, {:.4f}]",
      variation.mean, variation.low, variation.high);
  if (changes.claims > 0)
    text += fmt::format("; {} of {} true claims flipped, in {} rows, there {:.4f}", changes.flipped,
                        changes.claims, changes.flipped_rows, changes.flipped_total_variation);
  return text;
}

}  // namespace etrlrec
