// The time line of a history as an SVG picture: an axis true to time above, evenly spaced readable
// columns below, curves between them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace etrlrec {

struct TimeLineEvent {
  std::string title, detail;  // e.g. "Hollow River 2", "drama · dark"
  std::string gap;            // word for the gap before it, empty for the first
  int64_t time = 0;
};
// Dots at their true times on an axis, each led to a column with its label so that close events
// stay readable; gap words are between the columns; the last event is "now". Times must not
// decrease (kInput).
std::string time_line(const std::vector<TimeLineEvent>& events);

}  // namespace etrlrec
