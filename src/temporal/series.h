// Series in titles: "Hollow River", "Hollow River II", "Die Hard 2 (1990)", "Godfather: Part II,
// The (1974)". Only the title's words are looked at; a part without a number is part one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

struct SeriesPart {
  std::string
      stem;  // lower-case words before the number, one blank between; empty: no series possible
  int32_t part = 1;
};

// Years in parentheses, articles and "part", "vol" … before the number are left out. Numbers
// are 1..99 in digits or I..XXIX in capitals; "I" alone only as the last word.
SeriesPart parse_series(std::string_view title);

struct SeriesTable {
  std::vector<int32_t> series;  // [N] -1: no other item shares the stem
  std::vector<int32_t> part;    // [N]
};
SeriesTable find_series(const Catalogue& catalogue);

}  // namespace etrlrec
