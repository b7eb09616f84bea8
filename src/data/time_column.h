// The time column of a log: what its values mean, decided over all of them (not over the first),
// and said. Numbers are seconds since 1970 or finer units, told by their size, or whole-number
// dates (20140516); texts are the forms of time_text.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/time_text.h"

namespace etrlrec {

struct TimeOptions {
  std::string unit;    // of numbers, a name of time_units(); empty: found out
  std::string format;  // of strptime; empty: found out
  // The order of the file is the only time there is: an event's time is its number.
  bool order = false;
};
std::vector<std::string> time_units();  // seconds, milliseconds ... days

class TimeColumn {
 public:
  // Errors (kUsage): an unknown unit, more than one option.
  explicit TimeColumn(TimeOptions options = {});

  // True when the text is a time of some kind, which becomes the column's next value.
  bool add(std::string_view text);
  void add_order();  // the next event where order is the only time
  // The values of another column with the same options, which is not resolved yet, behind these.
  void append(const TimeColumn& other);

  int64_t size() const { return static_cast<int64_t>(values_.size()); }

  struct Rejected {
    int64_t index;  // of the value
    std::string reason;
  };
  // What the values mean, once, behind the last one. Fills unit(), warnings() and seconds(); values
  // that do not go with the others are returned, in order. Error (kInput): dates of which nobody
  // can say whether month or day comes first.
  std::vector<Rejected> resolve();
  // [values] since 1970 in the full resolution of the source.
  const std::vector<double>& seconds() const { return values_; }
  std::vector<double> take_seconds() { return std::move(values_); }
  const std::string& unit() const { return unit_; }  // "seconds", "YYYYMMDD", "ISO-8601" ...
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  enum class Kind : int8_t { kNumber, kText, kMonthFirst, kDayFirst, kEither };
  void resolve_numbers(std::vector<Rejected>& rejected);
  bool resolve_whole_dates(std::vector<Rejected>& rejected);
  void resolve_texts(std::vector<Rejected>& rejected);
  void warn_about_range(const std::vector<Rejected>& rejected);
  int64_t count(Kind kind) const;
  bool is_number(int64_t i) const { return kinds_.empty() || kinds_[i] == Kind::kNumber; }

  TimeOptions options_;
  double per_second_ = 0;  // of the unit that was asked for, 0: none
  std::vector<double> values_;
  std::vector<Kind> kinds_;     // of the values; shorter: the others are numbers
  std::vector<int64_t> forms_;  // values of each text form
  int32_t form_ = 0;
  std::string unit_;
  std::vector<std::string> warnings_;
};

}  // namespace etrlrec
