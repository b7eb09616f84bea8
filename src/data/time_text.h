// Times as people and programs write them in logs, as a table of forms: ISO-8601 and its relatives,
// RFC 2822, what date and web servers print, and dates with the month first or the day first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

// Of dates such as 05/06/2014: which of the two numbers is the month. One value may be either; a
// column decides (time_column.h).
enum class DayMonth : int8_t { kClear, kMonthFirst, kDayFirst, kEither };

struct TextTime {
  double seconds = 0;  // since 1970 UTC; kEither: with the month first
  int32_t form = 0;    // of time_form_names()
  DayMonth order = DayMonth::kClear;
};

std::vector<std::string> time_form_names();  // an example of each form

// The time that `text` says. `form` is tried first and becomes the form that fits: a column rarely
// changes it. Texts without an offset are UTC.
std::optional<TextTime> parse_time_text(std::string_view text, int32_t& form);

// kEither, read with the day first.
double day_first(double month_first);

// A time in a form of strptime ("%d.%m.%Y %H:%M"; %z is an offset); nothing where the text does
// not fit as a whole.
std::optional<double> parse_time_format(const std::string& text, const std::string& format);

}  // namespace etrlrec
