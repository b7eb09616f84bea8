// Words for the time between two events.
#pragma once

#include <cstdint>
#include <string_view>

namespace etrlrec {

// The buckets of method.md E, in ascending order. A gap belongs to the first bucket whose upper
// end it does not exceed: 0 s, under 30 min, 1 day, 7 days, 30 days, 92 days, 366 days.
enum class GapBucket : int8_t { kTie, kSitting, kDay, kWeek, kMonth, kQuarter, kYear, kLonger };
inline constexpr int32_t kNumGapBuckets = 8;

// "tie" "sitting" "day" "week" "month" "quarter" "year" "longer"
const char* gap_word(GapBucket bucket);
GapBucket gap_bucket(int64_t seconds);           // seconds >= 0
int32_t find_gap_bucket(std::string_view word);  // as a number, -1: no such word

}  // namespace etrlrec
