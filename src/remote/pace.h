// Requests and tokens per minute: each call gets the moment at which it may start. Calls are spread
// evenly, so that no minute ever holds more than the limit.
#pragma once

#include <cstdint>
#include <mutex>

namespace etrlrec {

// Times are seconds of any steady clock. For several threads.
class Pace {
 public:
  // 0: no limit.
  Pace(double requests_per_minute, double tokens_per_minute);
  // When a call of at most `tokens` may start, which is then taken.
  double reserve(double now, int64_t tokens);
  // Gives back what a call did not use of its reservation, or takes what it used beyond it.
  void settle(int64_t reserved, int64_t used);
  // Nobody starts before `time`: what a server asks for with Retry-After.
  void hold_until(double time);
  double held_until() const;

 private:
  const double seconds_per_request_, seconds_per_token_;  // 0: no limit
  mutable std::mutex mutex_;
  double next_request_ = 0, next_token_ = 0, hold_ = 0;
};

}  // namespace etrlrec
