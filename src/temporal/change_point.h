// Where the attributes of a history change most, with a permutation test. The measure is the
// weighted Jensen-Shannon divergence of the two sides, i.e. the mutual information of side and
// attribute, from integer counts.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

class ChangePoint {
 public:
  ChangePoint(const Catalogue& catalogue, const Request& request);

  // First entry of the later side and the p-value against 200 seeded order permutations; -1 when
  // there is nothing to test. Both sides have two entries or more, and a split never lies inside a
  // group of equal times.
  std::pair<int32_t, double> test() const;
  // Divergence of the two sides of one split, in nats.
  double divergence_at(size_t split) const;

 private:
  std::vector<int32_t> totals() const;
  double information(const std::vector<int32_t>& left, const std::vector<int32_t>& all,
                     size_t left_total) const;
  std::pair<int32_t, double> best(const std::vector<size_t>& order) const;

  std::vector<std::vector<int32_t>> rows_;  // attributes of each entry, renumbered from 0
  std::vector<size_t> splits_;
  std::vector<double> log_;  // c log c
  size_t num_ids_ = 0, total_ = 0;
};

}  // namespace etrlrec
