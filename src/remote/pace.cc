#include "remote/pace.h"

#include <algorithm>

#include "base/check.h"

namespace etrlrec {
namespace {

double seconds_per(double count) { return count > 0 ? 60 / count : 0; }

}  // namespace

Pace::Pace(double requests_per_minute, double tokens_per_minute)
    : seconds_per_request_(seconds_per(requests_per_minute)),
      seconds_per_token_(seconds_per(tokens_per_minute)) {
  CHECK(requests_per_minute >= 0 && tokens_per_minute >= 0, kUsage,
        "requests and tokens per minute: expected numbers that are not negative");
}

double Pace::reserve(double now, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  const double start = std::max({now, hold_, next_request_, next_token_});
  next_request_ = start + seconds_per_request_;
  next_token_ = start + seconds_per_token_ * static_cast<double>(tokens);
  return start;
}

void Pace::settle(int64_t reserved, int64_t used) {
  const std::lock_guard lock(mutex_);
  next_token_ += seconds_per_token_ * static_cast<double>(used - reserved);
}

void Pace::hold_until(double time) {
  const std::lock_guard lock(mutex_);
  hold_ = std::max(hold_, time);
}

double Pace::held_until() const {
  const std::lock_guard lock(mutex_);
  return hold_;
}

}  // namespace etrlrec
