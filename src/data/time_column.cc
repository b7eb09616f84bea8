#include "data/time_column.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "data/calendar.h"
#include "data/cells.h"

namespace etrlrec {
namespace {

struct Unit {
  const char* name;
  double per_second;
};
constexpr std::array kUnits{Unit{"seconds", 1},         Unit{"milliseconds", 1e3},
                            Unit{"microseconds", 1e6},  Unit{"nanoseconds", 1e9},
                            Unit{"minutes", 1.0 / 60},  Unit{"hours", 1.0 / 3600},
                            Unit{"days", 1.0 / 86400.0}};
constexpr size_t kNumFine = 4;        // units that are told by their size
constexpr double kFirstLimit = 1e11;  // in seconds the year 5138, in milliseconds March 1973
constexpr double kLargest = 9e18;

// 9999-12-31 and 0001-01-01; beyond them no calendar goes.
constexpr double kLastSecond = 253402300799.0, kFirstSecond = -62135596800.0;
constexpr double kPlaceholderBelow = 1e8;  // a median above makes 0 and -1 placeholders
constexpr double kWholeDateShare = 0.9;

size_t unit_of_size(double value) {
  size_t unit = 0;
  for (double limit = kFirstLimit; unit + 1 < kNumFine && std::abs(value) >= limit; limit *= 1000)
    ++unit;
  return unit;
}

struct WholeDate {
  const char* name;
  double least, below;  // values of the years 1900 to 2100
  int64_t day_unit;     // what one day is: 1, 100 (hours behind it) ...
};
constexpr std::array kWholeDates{
    WholeDate{"YYYYMMDD", 19000101, 21010101, 1},
    WholeDate{"YYYYMMDDhh", 1900010100, 2101010100, 100},
    WholeDate{"YYYYMMDDhhmm", 190001010000, 210101010000, 10000},
    WholeDate{"YYYYMMDDhhmmss", 19000101000000, 21010101000000, 1000000},
};

std::optional<double> whole_date(const WholeDate& form, double value) {
  if (!(value >= form.least && value < form.below) || value != std::trunc(value))
    return std::nullopt;
  const auto number = static_cast<int64_t>(value);
  const int64_t day = number / form.day_unit;
  using namespace std::chrono;
  const year_month_day date{year(static_cast<int>(day / 10000)),
                            month(static_cast<unsigned>(day / 100 % 100)),
                            std::chrono::day(static_cast<unsigned>(day % 100))};
  if (!date.ok()) return std::nullopt;
  int64_t clock = number % form.day_unit * (1000000 / form.day_unit);  // hhmmss
  if (clock / 10000 > 23 || clock / 100 % 100 > 59 || clock % 100 > 60) return std::nullopt;
  clock = clock / 10000 * 3600 + clock / 100 % 100 * 60 + clock % 100;
  return static_cast<double>(sys_days(date).time_since_epoch().count() * kSecondsPerDay + clock);
}

}  // namespace

std::vector<std::string> time_units() {
  std::vector<std::string> names;
  for (const Unit& unit : kUnits) names.emplace_back(unit.name);
  return names;
}

TimeColumn::TimeColumn(TimeOptions options)
    : options_(std::move(options)), forms_(time_form_names().size()) {
  const int given = int{!options_.unit.empty()} + int{!options_.format.empty()} + options_.order;
  CHECK(given <= 1, kUsage,
        "--time order, --time-unit and --time-format: expected one of them at most");
  for (const Unit& unit : kUnits)
    if (options_.unit == unit.name) per_second_ = unit.per_second;
  CHECK(options_.unit.empty() || per_second_ > 0, kUsage,
        "--time-unit: expected one of {}, found \"{}\"", fmt::join(time_units(), ", "),
        options_.unit);
}

void TimeColumn::add_order() { values_.push_back(static_cast<double>(values_.size())); }

bool TimeColumn::add(std::string_view text) {
  if (!options_.format.empty()) {
    const auto seconds = parse_time_format(std::string(text), options_.format);
    if (seconds) values_.push_back(*seconds);
    return seconds.has_value();
  }
  constexpr size_t kExactDigits = 15;
  if (const auto number = parse_digits(text, kExactDigits)) {
    if (!kinds_.empty()) kinds_.push_back(Kind::kNumber);
    values_.push_back(static_cast<double>(*number));
    return true;
  }
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = result.ec == std::errc() && result.ptr == text.data() + text.size();
  if (number) {
    if (!(std::abs(value) < kLargest)) return false;  // nan too
    if (!kinds_.empty()) kinds_.push_back(Kind::kNumber);
    values_.push_back(value);
    return true;
  }
  if (per_second_ > 0) return false;
  const auto time = parse_time_text(text, form_);
  if (!time) return false;
  ++forms_[static_cast<size_t>(time->form)];
  kinds_.resize(values_.size(), Kind::kNumber);
  constexpr std::array kKinds{Kind::kText, Kind::kMonthFirst, Kind::kDayFirst, Kind::kEither};
  kinds_.push_back(kKinds[static_cast<size_t>(time->order)]);
  values_.push_back(time->seconds);
  return true;
}

void TimeColumn::append(const TimeColumn& other) {
  if (options_.order) {
    for (int64_t i = 0; i < other.size(); ++i) add_order();
    return;
  }
  if (!kinds_.empty() || !other.kinds_.empty()) {
    kinds_.resize(values_.size(), Kind::kNumber);
    kinds_.insert(kinds_.end(), other.kinds_.begin(), other.kinds_.end());
    kinds_.resize(values_.size() + other.values_.size(), Kind::kNumber);
  }
  values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  for (size_t f = 0; f < forms_.size(); ++f) forms_[f] += other.forms_[f];
}

int64_t TimeColumn::count(Kind kind) const {
  return std::count(kinds_.begin(), kinds_.end(), kind);
}

std::vector<TimeColumn::Rejected> TimeColumn::resolve() {
  std::vector<Rejected> rejected;
  if (options_.order) {
    unit_ = "order of the file";
    return rejected;
  }
  const int64_t numbers = kinds_.empty() ? size() : count(Kind::kNumber);
  if (!options_.format.empty()) {
    unit_ = options_.format;
  } else if (2 * numbers >= size()) {
    resolve_numbers(rejected);
  } else {
    resolve_texts(rejected);
  }
  std::sort(rejected.begin(), rejected.end(),
            [](const Rejected& a, const Rejected& b) { return a.index < b.index; });
  warn_about_range(rejected);
  return rejected;
}

bool TimeColumn::resolve_whole_dates(std::vector<Rejected>& rejected) {
  for (const WholeDate& form : kWholeDates) {
    int64_t dates = 0, others = 0;
    for (int64_t i = 0; i < size(); ++i) {
      if (!is_number(i)) continue;
      const double value = values_[i];
      if (value > 0) ++(whole_date(form, value) ? dates : others);
    }
    if (dates == 0 ||
        static_cast<double>(dates) < kWholeDateShare * static_cast<double>(dates + others))
      continue;
    unit_ = form.name;
    for (int64_t i = 0; i < size(); ++i) {
      if (!is_number(i)) continue;
      const auto seconds = whole_date(form, values_[i]);
      if (!seconds) rejected.push_back({i, fmt::format("no date of the form {}", form.name)});
      values_[i] = seconds.value_or(0);
    }
    return true;
  }
  return false;
}

void TimeColumn::resolve_numbers(std::vector<Rejected>& rejected) {
  // What the median is above follows from how many values are below.
  std::array<int64_t, kNumFine> of_unit{};
  int64_t numbers = 0, small = 0;
  for (int64_t i = 0; i < size(); ++i) {
    if (!is_number(i)) {
      rejected.push_back({i, "a date among numbers"});
      continue;
    }
    ++numbers;
    ++of_unit[unit_of_size(values_[i])];
    small += std::abs(values_[i]) < kPlaceholderBelow;
  }
  unit_ = options_.unit.empty() ? kUnits[0].name : options_.unit;
  if (numbers == 0) return;
  if (per_second_ == 0 && resolve_whole_dates(rejected)) return;
  const bool placeholders = small <= numbers / 2;
  size_t usual = 0;
  for (int64_t below = of_unit[0]; below <= numbers / 2; below += of_unit[usual]) ++usual;
  if (per_second_ == 0) unit_ = kUnits[usual].name;
  std::array<int64_t, kNumFine> others{};
  for (int64_t i = 0; i < size(); ++i) {
    if (!is_number(i)) continue;
    double& value = values_[i];
    if (placeholders && (value == 0 || value == -1)) {
      rejected.push_back({i, fmt::format("no time ({:.0f} stands in its place)", value)});
      continue;
    }
    const size_t unit = unit_of_size(value);
    others[unit] += per_second_ == 0 && unit != usual;
    value /= per_second_ > 0 ? per_second_ : kUnits[unit].per_second;
    if (value < kFirstSecond || value > kLastSecond) rejected.push_back({i, "time out of range"});
  }
  for (size_t unit = 0; unit < kNumFine; ++unit) {
    if (others[unit] == 0) continue;
    warnings_.push_back(
        fmt::format("{} times are in {} by their size, most are in {}: each is read in its own "
                    "unit (--time-unit states one)",
                    others[unit], kUnits[unit].name, unit_));
  }
}

void TimeColumn::resolve_texts(std::vector<Rejected>& rejected) {
  const int64_t month = count(Kind::kMonthFirst), day = count(Kind::kDayFirst);
  const int64_t either = count(Kind::kEither);
  CHECK(
      month == 0 || day == 0, kInput,
      "times: {} dates have the month first and {} the day first\nhint: --time-format states one, "
      "e.g. \"%d/%m/%Y\"",
      month, day);
  CHECK(
      either == 0 || month > 0 || day > 0, kInput,
      "times: nothing says whether the month or the day comes first in dates such as 05/06/2014\n"
      "hint: --time-format \"%m/%d/%Y\" or \"%d/%m/%Y\", with \" %H:%M:%S\" where there is a clock "
      "and the marks between the numbers as they are");
  for (int64_t i = 0; i < size(); ++i) {
    if (kinds_[i] == Kind::kNumber) rejected.push_back({i, "a number among dates"});
    if (kinds_[i] == Kind::kEither && day > 0) values_[i] = day_first(values_[i]);
  }
  const auto most = std::max_element(forms_.begin(), forms_.end()) - forms_.begin();
  const auto names = time_form_names();
  unit_ = most == 0 ? "ISO-8601" : "dates as \"" + names[static_cast<size_t>(most)] + "\"";
  if (month + day > 0) unit_ += month > 0 ? ", month first" : ", day first";
  for (size_t f = 0; f < forms_.size(); ++f) {
    if (static_cast<int64_t>(f) != most && forms_[f] > 0)
      warnings_.push_back(fmt::format("{} times are written as \"{}\", most as \"{}\"", forms_[f],
                                      names[f], names[static_cast<size_t>(most)]));
  }
}

// What a careful reader of the times would notice.
void TimeColumn::warn_about_range(const std::vector<Rejected>& rejected) {
  int64_t first_days = 0, kept = 0;
  auto next = rejected.begin();
  for (int64_t i = 0; i < size(); ++i) {
    if (next != rejected.end() && next->index == i) {
      ++next;
      continue;
    }
    ++kept;
    first_days += std::abs(values_[i]) < 30 * static_cast<double>(kSecondsPerDay);
  }
  if (kept > 0 && first_days == kept)
    warnings_.push_back(fmt::format(
        "all times lie within 30 days of 1970, read as {}: if they are days or years, state "
        "--time-unit or --time-format (\"%Y\"); if they only count events, --time order",
        unit_));
}

}  // namespace etrlrec
