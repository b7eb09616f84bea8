#include "method/age_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "data/calendar.h"

namespace etrlrec {

AgeWeights::AgeWeights(std::span<const int64_t> times, double half_life_days)
    : last_(*std::max_element(times.begin(), times.end())),
      half_life_(half_life_days * static_cast<double>(kSecondsPerDay)) {
  CHECK(half_life_days > 0, kUsage, "--half-life-days: expected a positive number, found {}",
        half_life_days);
  double sum = 0;
  for (const int64_t time : times) sum += at(time);
  scale_ = static_cast<double>(times.size()) / sum;
}

// An event so old that its weight would be no float any more keeps the smallest one.
float AgeWeights::at(int64_t time) const {
  if (half_life_ == 0) return 1;
  const double weight = scale_ * std::exp2(-static_cast<double>(last_ - time) / half_life_);
  return std::max(static_cast<float>(weight), std::numeric_limits<float>::min());
}

}  // namespace etrlrec
