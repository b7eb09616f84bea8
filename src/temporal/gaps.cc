#include "temporal/gaps.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr std::array<const char*, kNumGapBuckets> kWords{"tie",   "sitting", "day",  "week",
                                                         "month", "quarter", "year", "longer"};

}  // namespace

const char* gap_word(GapBucket bucket) { return kWords.at(static_cast<size_t>(bucket)); }

GapBucket gap_bucket(int64_t seconds) {
  constexpr int64_t kDay = 86400;
  constexpr std::array<int64_t, kNumGapBuckets - 1> kEnds{0,         1799,      kDay,      7 * kDay,
                                                          30 * kDay, 92 * kDay, 366 * kDay};
  CHECK(seconds >= 0, kInput, "gap: expected seconds of 0 or more, found {}", seconds);
  return static_cast<GapBucket>(std::lower_bound(kEnds.begin(), kEnds.end(), seconds) -
                                kEnds.begin());
}

int32_t find_gap_bucket(std::string_view word) {
  const auto found = std::find(kWords.begin(), kWords.end(), word);
  return found == kWords.end() ? -1 : static_cast<int32_t>(found - kWords.begin());
}

}  // namespace etrlrec
