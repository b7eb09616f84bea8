// Times of the calendar: as ISO-8601 text, quarters of the year in UTC, half-lives.
#pragma once

#include <cstdint>
#include <string>

namespace etrlrec {

std::string format_iso_time(int64_t seconds);  // 2024-05-01T12:30:15Z

inline constexpr int64_t kSecondsPerDay = 86400;

// What is left of a weight after so many seconds, of which it loses half in half_life_days.
double half_life_share(int64_t seconds, double half_life_days);

int32_t quarter_of_year(int64_t time);  // seconds since 1970; 0: January to March

}  // namespace etrlrec
