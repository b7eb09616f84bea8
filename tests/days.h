// Spans of time in seconds.
#pragma once

#include <cstdint>

namespace etrlrec {

inline constexpr int64_t kHour = 3600, kDay = 86400;

}  // namespace etrlrec
