#include "base/ranks.h"

#include <cmath>

#include "base/check.h"

namespace etrlrec {
namespace {

template <typename T>
double rank_among(std::span<const T> scores, int64_t target) {
  CHECK(target >= 0 && target < static_cast<int64_t>(scores.size()), kInput,
        "rank: expected a target in 0..{}, found {}", static_cast<int64_t>(scores.size()) - 1,
        target);
  int64_t better = 0, equal = 0;
  for (const T score : scores) {
    CHECK(!std::isnan(score), kNumbers, "rank: expected numbers as scores, found NaN");
    better += score > scores[static_cast<size_t>(target)];
    equal += score == scores[static_cast<size_t>(target)];
  }
  return 1.0 + static_cast<double>(better) + 0.5 * static_cast<double>(equal - 1);
}

}  // namespace

double mean_rank(std::span<const double> scores, int64_t target) {
  return rank_among(scores, target);
}

double mean_rank(std::span<const float> scores, int64_t target) {
  return rank_among(scores, target);
}

}  // namespace etrlrec
