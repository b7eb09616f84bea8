#include "train/task_weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr std::array<std::string_view, 3> kTaskWeightings = {"equal", "gradient-norm", "gain"};

std::vector<double> sum_to_one(std::vector<double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sum <= 0) return equal_weights(weights.size());
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace

TaskWeighting task_weighting(std::string_view name) {
  const auto found = std::find(kTaskWeightings.begin(), kTaskWeightings.end(), name);
  CHECK(found != kTaskWeightings.end(), kUsage, "task weights: expected {}, found \"{}\"",
        fmt::join(kTaskWeightings, ", "), name);
  return static_cast<TaskWeighting>(found - kTaskWeightings.begin());
}

std::vector<std::string> task_weighting_names() {
  return {kTaskWeightings.begin(), kTaskWeightings.end()};
}

std::vector<double> equal_weights(size_t count) {
  return std::vector<double>(count, 1.0 / static_cast<double>(count));
}

std::vector<double> gradient_norm_weights(std::span<const double> norms) {
  std::vector<double> weights;
  for (const double norm : norms) {
    CHECK(norm >= 0 && std::isfinite(norm), kNumbers,
          "task weights: expected the norm of a gradient, found {}", norm);
    weights.push_back(norm == 0 ? 0 : std::sqrt(1 / norm));
  }
  return sum_to_one(std::move(weights));
}

std::vector<double> gain_weights(std::span<const double> gains) {
  std::vector<double> weights;
  for (const double gain : gains) {
    CHECK(std::isfinite(gain), kNumbers, "task weights: expected a gain, found {}", gain);
    weights.push_back(std::max(gain, 0.0));
  }
  return sum_to_one(std::move(weights));
}

}  // namespace etrlrec
