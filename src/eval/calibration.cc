#include "eval/calibration.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr float kLeast = 1e-30f;  // of a probability that float rounded to 0
constexpr double kCoolest = 0.1, kHottest = 10;
constexpr int kHalvings = 50;

double log_probability(float p) { return std::log(std::max(p, kLeast)); }

// d/dβ of the targets' log-likelihood under softmax(β log p): what the target's log p is above the
// one that is expected. It falls with β.
double slope(std::span<const AnswerProbabilities> rows, double beta) {
  double sum = 0;
  for (const AnswerProbabilities& row : rows) {
    const double most = log_probability(*std::max_element(row.values.begin(), row.values.end()));
    double mass = 0, expected = 0;
    for (const float p : row.values) {
      const double weight = std::exp(beta * (log_probability(p) - most));
      mass += weight;
      expected += weight * log_probability(p);
    }
    sum += log_probability(row.values[static_cast<size_t>(row.target)]) - expected / mass;
  }
  return sum;
}

}  // namespace

Calibration measure_calibration(std::span<const AnswerProbabilities> rows) {
  CHECK(!rows.empty(), kInput, "calibration: expected rows, found none");
  Calibration result;
  result.bins.resize(kReliabilityBins);
  const auto total = static_cast<double>(rows.size());
  for (const AnswerProbabilities& row : rows) {
    const auto answer = std::max_element(row.values.begin(), row.values.end());
    const auto bin = static_cast<int>(std::ceil(*answer * kReliabilityBins)) - 1;
    ReliabilityBin& found = result.bins[std::clamp(bin, 0, kReliabilityBins - 1)];
    ++found.count;
    found.confidence += *answer;
    found.accuracy += answer - row.values.begin() == row.target ? 1 : 0;
    result.nll -= log_probability(row.values[static_cast<size_t>(row.target)]) / total;
  }
  for (ReliabilityBin& bin : result.bins) {
    if (bin.count == 0) continue;
    result.ece += std::abs(bin.confidence - bin.accuracy) / total;
    bin.confidence /= static_cast<double>(bin.count);
    bin.accuracy /= static_cast<double>(bin.count);
  }
  return result;
}

double fit_temperature(std::span<const AnswerProbabilities> rows) {
  CHECK(!rows.empty(), kInput, "temperature: expected rows, found none");
  double low = 1 / kHottest, high = 1 / kCoolest;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (slope(rows, middle) > 0 ? low : high) = middle;
  }
  return 2 / (low + high);
}

void apply_temperature(std::span<double> probabilities, double temperature) {
  if (temperature == 1) return;
  const double most = *std::max_element(probabilities.begin(), probabilities.end());
  double sum = 0;
  for (double& p : probabilities) sum += p = std::pow(p / most, 1 / temperature);
  for (double& p : probabilities) p /= sum;
}

}  // namespace etrlrec
