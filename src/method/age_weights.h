// What was usual long ago counts less: weights of events, or of rows to be learned from, by age.
#pragma once

#include <cstdint>
#include <span>

namespace etrlrec {

// 2^(-age / half life), where the latest of `times` has no age; their mean over `times` is 1.
class AgeWeights {
 public:
  AgeWeights() = default;  // 1 for every time
  // `times`: of all that is learned from, at least one. Error (kUsage) for a half life that is not
  // positive.
  AgeWeights(std::span<const int64_t> times, double half_life_days);
  float at(int64_t time) const;

 private:
  int64_t last_ = 0;
  double half_life_ = 0, scale_ = 1;
};

}  // namespace etrlrec
