#include "models/negative_sampler.h"

#include <cmath>
#include <numeric>

#include "base/check.h"

namespace etrlrec {

NegativeSampler::NegativeSampler(std::span<const double> weights) {
  double sum = 0;
  for (const double weight : weights) {
    CHECK(std::isfinite(weight) && weight >= 0, kInput,
          "negative sampler: expected weights of at least 0, found {}", weight);
    sum += weight;
  }
  CHECK(std::isfinite(sum) && sum > 0, kInput,
        "negative sampler: expected a positive sum of weights, found {}", sum);
  const auto items = static_cast<double>(weights.size());
  std::vector<int32_t> small, large;
  for (const double weight : weights) {
    const auto item = static_cast<int32_t>(own_.size());
    probabilities_.push_back(weight / sum);
    own_.push_back(items * weight / sum);
    alias_.push_back(item);
    (own_.back() < 1 ? small : large).push_back(item);
  }
  while (!small.empty() && !large.empty()) {
    const int32_t less = small.back(), more = large.back();
    small.pop_back();
    alias_[static_cast<size_t>(less)] = more;
    double& rest = own_[static_cast<size_t>(more)];
    rest -= 1 - own_[static_cast<size_t>(less)];
    if (rest >= 1) continue;
    large.pop_back();
    small.push_back(more);
  }
  // Columns that only rounding has left over are full.
  for (const auto* rest : {&small, &large})
    for (const int32_t item : *rest) own_[static_cast<size_t>(item)] = 1;
}

int32_t NegativeSampler::draw(Rng& rng) const {
  const size_t column = rng.below(probabilities_.size());
  return rng.uniform() < own_[column] ? static_cast<int32_t>(column) : alias_[column];
}

std::vector<double> popularity_weights(const InteractionLog& log, double alpha) {
  std::vector<double> weights(static_cast<size_t>(log.num_items), 1);
  if (alpha == 0) return weights;
  for (const int32_t item : log.items) ++weights[static_cast<size_t>(item)];
  for (double& weight : weights) weight = std::pow(weight, alpha);
  return weights;
}

}  // namespace etrlrec
