// What a careful colleague says about a log after one look at it: sentences with the number and
// what to do. `prepare` asks for what was read, `inspect` for what lies in a folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

// How many rows the reading met, and how many of them cannot be used; zeros where nobody knows.
struct RowCounts {
  int64_t rows = 0, rejected = 0;
};

// One sentence for each of: rejected rows from 5 % on; times after `now` (seconds since 1970, with
// a day of grace); one time for all events; times that are all at the same moment of the day; more
// than 10 % of neighbouring events of a user at one time; a user with at least 10 % of the events
// and ten times the median, or with 10,000 events; items whose title is missing (their id stands
// in), and items of which 20 % share their title with an earlier one. An ordinary log gives none.
std::vector<std::string> log_warnings(const Dataset& dataset, const RowCounts& counts, int64_t now);

int64_t seconds_now();  // since 1970

}  // namespace etrlrec
