// Draws items with given weights in constant time each: the alias method (Walker 1977; Vose 1991).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "models/recommender.h"

namespace etrlrec {

class NegativeSampler {
 public:
  // One weight for each item, not negative, of a positive sum. Error (kInput).
  explicit NegativeSampler(std::span<const double> weights);
  int64_t num_items() const { return static_cast<int64_t>(probabilities_.size()); }
  int32_t draw(Rng& rng) const;
  double probability(int64_t item) const { return probabilities_[static_cast<size_t>(item)]; }

 private:
  std::vector<double> probabilities_;  // [N] of one draw
  std::vector<double> own_;            // [N] share of an item's column that is its own
  std::vector<int32_t> alias_;         // [N] whose the rest of the column is
};

// (1 + interactions of the item)^alpha: alpha 0 is uniform, and no item is left out. [N]
std::vector<double> popularity_weights(const InteractionLog& log, double alpha);

}  // namespace etrlrec
