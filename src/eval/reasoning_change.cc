#include "eval/reasoning_change.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/metrics.h"

namespace etrlrec {
namespace {

constexpr int64_t kChangeDraws = 2000;

DecisionChanges summarize_decisions(const Predictions& predictions, uint64_t seed) {
  DecisionChanges result;
  std::vector<double> decisions, answers, own_hits, hits;
  std::vector<int64_t> users;
  for (const Prediction& row : predictions.rows) {
    if (!row.change) continue;
    const bool decides = row.change->decision != DecisionChange::kNone;
    result.rows_without_decision += !decides;
    result.rows_without_flip += decides && row.change->flipped == 0;
    decisions.push_back(row.change->decision == DecisionChange::kChanged);
    answers.push_back(row.change->answer_changed);
    own_hits.push_back(row.change->own_hit);
    hits.push_back(hit_at(row.rank, 1));
    users.push_back(row.user);
  }
  const auto mean = [&](const std::vector<double>& values) {
    return bootstrap_mean(values, users, kChangeDraws, seed);
  };
  result.decision_changed = mean(decisions);
  result.answer_changed = mean(answers);
  result.own_hit1 = mean(own_hits);
  result.hit1 = mean(hits);
  return result;
}

void put_interval(OrderedJson& json, const std::string& name, const Interval& interval) {
  json[name] = interval.mean;
  json[name + "_low"] = interval.low;
  json[name + "_high"] = interval.high;
}

std::string interval_text(const Interval& interval) {
  return fmt::format("{:.4f} [{:.4f}, {:.4f}]", interval.mean, interval.low, interval.high);
}

}  // namespace

std::optional<ReasoningChanges> summarize_changes(const Predictions& predictions, uint64_t seed) {
  ReasoningChanges changes;
  std::vector<double> variations;
  bool wrote_on = false;
  std::vector<int64_t> users;
  for (const Prediction& row : predictions.rows) {
    if (!row.change) continue;
    variations.push_back(row.change->total_variation);
    users.push_back(row.user);
    wrote_on = wrote_on || row.change->decision != DecisionChange::kNotAsked;
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
  if (wrote_on) changes.decisions = summarize_decisions(predictions, seed);
  return changes;
}

OrderedJson to_json(const ReasoningChanges& changes) {
  OrderedJson json = {{"rows", changes.rows}};
  put_interval(json, "total_variation", changes.total_variation);
  if (changes.claims > 0) {
    json["claims"] = changes.claims;
    json["flipped"] = changes.flipped;
    json["flipped_rows"] = changes.flipped_rows;
    json["flipped_total_variation"] = changes.flipped_total_variation;
  }
  if (!changes.decisions) return json;
  json["rows_without_decision"] = changes.decisions->rows_without_decision;
  json["rows_without_flip"] = changes.decisions->rows_without_flip;
  put_interval(json, "decision_changed", changes.decisions->decision_changed);
  put_interval(json, "answer_changed", changes.decisions->answer_changed);
  put_interval(json, "own_hit1", changes.decisions->own_hit1);
  put_interval(json, "hit1", changes.decisions->hit1);
  return json;
}

std::string reasoning_changes_text(const ReasoningChanges& changes) {
  std::string text =
      fmt::format("against the model's own reasoning: total variation of the answer {}",
                  interval_text(changes.total_variation));
  if (changes.claims > 0)
    text += fmt::format("; {} of {} true claims flipped, in {} rows, there {:.4f}", changes.flipped,
                        changes.claims, changes.flipped_rows, changes.flipped_total_variation);
  if (const auto& decisions = changes.decisions)
    text += fmt::format(
        "\nwriting on from flipped facts: another decision in {} of the rows, another answer in "
        "{}; "
        "hit@1 {} instead of {}; {} rows without a decision, {} without a fact to flip before it",
        interval_text(decisions->decision_changed), interval_text(decisions->answer_changed),
        interval_text(decisions->hit1), interval_text(decisions->own_hit1),
        decisions->rows_without_decision, decisions->rows_without_flip);
  return text;
}

}  // namespace etrlrec
