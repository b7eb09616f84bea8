#include "eval/mix.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr int kSteps = 20;
constexpr double kLeast = 1e-30;  // of a probability that float rounded to 0

}  // namespace

std::vector<double> softmax(std::vector<double> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double& value : logits) sum += value = std::exp(value - most);
  for (double& value : logits) value /= sum;
  return logits;
}

std::vector<double> log_probabilities(const Prediction& row, const std::string& protocol) {
  const bool is_corrected = protocol.ends_with(kTrendSuffix);
  CHECK(!row.scores.empty() && (protocol == "likelihood" || protocol == "score" || is_corrected),
        kUsage,
        "expected scores of every candidate (protocol likelihood or score), found protocol {}",
        protocol);
  std::vector<double> values(row.scores.begin(), row.scores.end());
  if (protocol == "score") values = softmax(std::move(values));
  for (double& value : values) value = std::log(std::max(value, kLeast));
  return values;
}

Predictions mix_predictions(const Predictions& first, const Predictions& second, double weight) {
  CHECK(first.rows.size() == second.rows.size(), kInput,
        "mix: expected as many rows of both models, found {} and {}", first.rows.size(),
        second.rows.size());
  Predictions mixed = first;
  for (size_t r = 0; r < mixed.rows.size(); ++r) {
    Prediction& row = mixed.rows[r];
    const Prediction& other = second.rows[r];
    CHECK(row.row == other.row && row.target_slot == other.target_slot &&
              row.scores.size() == other.scores.size(),
          kInput, "mix: the models were asked about other rows (row {} and {})", row.row,
          other.row);
    std::vector<double> a = log_probabilities(row, first.protocol);
    const std::vector<double> b = log_probabilities(other, second.protocol);
    for (size_t k = 0; k < a.size(); ++k) a[k] = weight * a[k] + (1 - weight) * b[k];
    set_ranking(row, softmax(std::move(a)));
  }
  if (second.protocol.ends_with(kTrendSuffix) && !first.protocol.ends_with(kTrendSuffix))
    mixed.protocol += kTrendSuffix;
  return mixed;
}

std::vector<double> mix_weights() {
  std::vector<double> weights;
  for (int step = 0; step <= kSteps; ++step) weights.push_back(static_cast<double>(step) / kSteps);
  return weights;
}

double best_mix_weight(std::span<const double> sums) {
  const std::vector<double> weights = mix_weights();
  size_t best = 0;
  for (size_t w = 1; w < sums.size(); ++w)
    if (sums[w] >= sums[best]) best = w;
  return weights.at(best);
}

double choose_mix_weight(const Predictions& first, const Predictions& second) {
  std::vector<double> sums;
  for (const double weight : mix_weights()) {
    double& sum = sums.emplace_back(0);
    for (const Prediction& row : mix_predictions(first, second, weight).rows)
      sum += ndcg_at(row.rank, 10);
  }
  return best_mix_weight(sums);
}

}  // namespace etrlrec
