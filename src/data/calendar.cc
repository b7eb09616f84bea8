#include "data/calendar.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

namespace etrlrec {
double half_life_share(int64_t seconds, double half_life_days) {
  return std::exp2(-static_cast<double>(seconds) /
                   (half_life_days * static_cast<double>(kSecondsPerDay)));
}

int32_t quarter_of_year(int64_t time) {
  using namespace std::chrono;
  const year_month_day date{floor<days>(sys_seconds{seconds{time}})};
  return static_cast<int32_t>((static_cast<unsigned>(date.month()) - 1) / 3);
}

std::string format_iso_time(int64_t seconds) {
  using namespace std::chrono;
  const sys_seconds time{std::chrono::seconds(seconds)};
  const auto midnight = floor<days>(time);
  const year_month_day date(midnight);
  const int64_t rest = (time - midnight).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     rest / 3600, rest / 60 % 60, rest % 60);
}

}  // namespace etrlrec
