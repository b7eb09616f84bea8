#include "data/time_text.h"

#include <array>
#include <chrono>
#include <cmath>
#include <ctime>

#include "base/strings.h"
#include "data/calendar.h"

namespace etrlrec {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 12> kLongMonths = {
    "january", "february", "march",     "april",   "may",      "june",
    "july",    "august",   "september", "october", "november", "december"};
constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Reads a time from the left. Every function leaves the text as it was where it finds nothing.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool blanks() {
    const size_t begin = rest_.size();
    while (take(' ')) {
    }
    return rest_.size() < begin;
  }
  // A number of `least` to `most` digits, no further digit behind it.
  std::optional<int> number(size_t least, size_t most) {
    size_t digits = 0;
    int value = 0;
    while (digits < rest_.size() && digits <= most && is_digit(rest_[digits]))
      value = 10 * value + (rest_[digits++] - '0');
    if (digits < least || digits > most) return std::nullopt;
    rest_.remove_prefix(digits);
    return value;
  }
  // Of a text that goes on with digits.
  std::optional<int> digits(size_t count) {
    if (rest_.size() < count) return std::nullopt;
    Scanner part(rest_.substr(0, count));
    const auto value = part.number(count, count);
    if (value) rest_.remove_prefix(count);
    return value;
  }
  std::string word() {
    size_t length = 0;
    while (length < rest_.size() && is_letter(rest_[length])) ++length;
    return ascii_lower(rest_.substr(0, length));
  }
  void skip(size_t count) { rest_.remove_prefix(count); }

  std::optional<int> month_name() {
    const std::string name = word();
    for (size_t m = 0; m < kMonths.size(); ++m) {
      if (name != kMonths[m] && name != kLongMonths[m] && !(m == 8 && name == "sept")) continue;
      skip(name.size());
      return static_cast<int>(m) + 1;
    }
    return std::nullopt;
  }
  bool weekday() {
    const std::string name = word();
    for (const std::string_view day : kDays) {
      if (!name.starts_with(day)) continue;
      skip(name.size());
      return true;
    }
    return false;
  }

  // H:MM[:SS[.fraction]] [AM|PM]
  std::optional<double> clock() {
    const auto hour = number(1, 2);
    if (!hour || *hour > 23 || !take(':')) return std::nullopt;
    const auto minute = digits(2);
    if (!minute || *minute > 59) return std::nullopt;
    double second = 0;
    if (take(':')) {
      const auto whole = digits(2);
      if (!whole || *whole > 60) return std::nullopt;
      const auto part = fraction();
      if (!part) return std::nullopt;
      second = *whole + *part;
    }
    const auto shift = half_of_day(*hour);
    if (!shift) return std::nullopt;
    return 3600.0 * (*hour + *shift) + 60.0 * *minute + second;
  }
  // Nothing, or the offset of a zone in seconds: Z, UTC, GMT, +0200, +02:00, -07, with a blank in
  // front or none.
  std::optional<double> zone() {
    blanks();
    if (done()) return 0.0;
    const std::string name = word();
    if (name == "z" || name == "utc" || name == "gmt") {
      skip(name.size());
      if (!rest_.starts_with('+') && !rest_.starts_with('-')) return 0.0;
    }
    const double sign = rest_.starts_with('-') ? -1 : 1;
    if (!take('+') && !take('-')) return std::nullopt;
    const auto hours = digits(2);
    if (!hours || *hours > 23) return std::nullopt;
    if (done() || rest_.starts_with(' ')) return sign * 3600.0 * *hours;
    take(':');
    const auto minutes = digits(2);
    if (!minutes || *minutes > 59) return std::nullopt;
    return sign * (3600.0 * *hours + 60.0 * *minutes);
  }

 private:
  // 0 without a fraction, nothing for a point without digits.
  std::optional<double> fraction() {
    if (!take('.') && !take(',')) return 0.0;
    double value = 0, scale = 0.1;
    bool any = false;
    for (; !rest_.empty() && is_digit(rest_.front()); scale /= 10, any = true) {
      value += scale * (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    return any ? std::optional(value) : std::nullopt;
  }
  // Hours that AM and PM add to the hour; nothing where the two contradict each other.
  std::optional<int> half_of_day(int hour) {
    const std::string_view before = rest_;
    blanks();
    const std::string half = word();
    if (half != "am" && half != "pm") {
      rest_ = before;
      return 0;
    }
    skip(half.size());
    if (hour < 1 || hour > 12) return std::nullopt;
    return half == "pm" ? (hour == 12 ? 0 : 12) : (hour == 12 ? -12 : 0);
  }

  std::string_view rest_;
};

std::optional<double> midnight(std::optional<int> year, std::optional<int> month,
                               std::optional<int> day) {
  if (!year || !month || !day) return std::nullopt;
  using namespace std::chrono;
  const year_month_day date{std::chrono::year(*year),
                            std::chrono::month(static_cast<unsigned>(*month)),
                            std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return static_cast<double>(kSecondsPerDay) *
         static_cast<double>(sys_days(date).time_since_epoch().count());
}

// Nothing, or behind a separator a clock and a zone.
std::optional<double> rest_of_day(Scanner& text, std::string_view separators) {
  if (text.done()) return 0.0;
  bool separated = false;
  for (const char c : separators) separated = separated || text.take(c);
  text.blanks();
  if (!separated) return std::nullopt;
  const auto clock = text.clock();
  const auto zone = clock ? text.zone() : std::nullopt;
  if (!zone || !text.done()) return std::nullopt;
  return *clock - *zone;
}

std::optional<TextTime> at(std::optional<double> day, std::optional<double> seconds) {
  if (!day || !seconds) return std::nullopt;
  return TextTime{*day + *seconds};
}

// 2014-05-16, 2014/05/16, 2014.05.16, with T or a blank and a clock.
std::optional<TextTime> year_first(Scanner text) {
  const auto year = text.digits(4);
  const char mark = text.take('-') ? '-' : text.take('/') ? '/' : text.take('.') ? '.' : '\0';
  if (!year || mark == '\0') return std::nullopt;
  const auto month = text.number(1, 2);
  if (!text.take(mark)) return std::nullopt;
  const auto day = midnight(year, month, text.number(1, 2));
  return at(day, rest_of_day(text, " T"));
}

// 20140516T191737Z
std::optional<TextTime> iso_basic(Scanner text) {
  const auto year = text.digits(4), month = text.digits(2), day = text.digits(2);
  if (!text.take('T')) return std::nullopt;
  const auto hour = text.digits(2), minute = text.digits(2);
  if (!hour || !minute || *hour > 23 || *minute > 59) return std::nullopt;
  const auto second = text.digits(2);
  if (second.value_or(0) > 60) return std::nullopt;
  const auto zone = text.zone();
  if (!zone || !text.done()) return std::nullopt;
  return at(midnight(year, month, day),
            3600.0 * *hour + 60.0 * *minute + second.value_or(0) - *zone);
}

// Fri May 16 19:17:37 +0000 2014, Fri May 16 19:17:37 UTC 2014, Fri May 16 19:17:37 2014
std::optional<TextTime> date_output(Scanner text) {
  if (!text.weekday() || !text.blanks()) return std::nullopt;
  const auto month = text.month_name();
  text.blanks();
  const auto day = text.number(1, 2);
  if (!text.blanks()) return std::nullopt;
  const auto clock = text.clock();
  if (!clock || !text.blanks()) return std::nullopt;
  if (const auto year = text.number(4, 4); year && text.done())
    return at(midnight(year, month, day), clock);
  const auto zone = text.zone();
  if (!zone || !text.blanks()) return std::nullopt;
  const auto year = text.number(4, 4);
  if (!text.done()) return std::nullopt;
  return at(midnight(year, month, day), *clock - *zone);
}

// [Fri, ]16 May 2014[ 19:17:37 +0000], 16-May-2014, 16/May/2014:19:17:37 +0000
std::optional<TextTime> day_month_year(Scanner text) {
  if (text.weekday()) {
    text.take(',');
    text.blanks();
  }
  const auto day = text.number(1, 2);
  if (!text.take('-') && !text.take('/') && !text.blanks()) return std::nullopt;
  const auto month = text.month_name();
  if (!month || (!text.take('-') && !text.take('/') && !text.blanks())) return std::nullopt;
  const auto year = text.number(4, 4);
  return at(midnight(year, month, day), rest_of_day(text, " :"));
}

// May 16, 2014[ 7:17 PM], 05 16, 2014
std::optional<TextTime> month_day_year(Scanner text) {
  if (text.weekday()) {
    text.take(',');
    text.blanks();
  }
  auto month = text.month_name();
  if (!month) month = text.number(1, 2);
  if (!month || !text.blanks()) return std::nullopt;
  const auto day = text.number(1, 2);
  if (!text.take(',') && !text.blanks()) return std::nullopt;
  text.blanks();
  const auto year = text.number(4, 4);
  text.take(',');
  return at(midnight(year, month, day), rest_of_day(text, " "));
}

// 05/16/2014 07:17:37 PM, 16.05.2014 19:17, 5-6-2014
std::optional<TextTime> year_last(Scanner text) {
  const auto first = text.number(1, 2);
  const char mark = text.take('/') ? '/' : text.take('.') ? '.' : text.take('-') ? '-' : '\0';
  if (mark == '\0') return std::nullopt;
  const auto second = text.number(1, 2);
  if (!text.take(mark)) return std::nullopt;
  const auto year = text.number(4, 4);
  text.take(',');
  const auto clock = rest_of_day(text, " ");
  auto time = at(midnight(year, first, second), clock);
  const auto swapped = at(midnight(year, second, first), clock);
  if (time && swapped) {
    time->order = *first == *second ? DayMonth::kClear : DayMonth::kEither;
    return time;
  }
  if (time) time->order = DayMonth::kMonthFirst;
  if (!swapped) return time;
  time = swapped;
  time->order = DayMonth::kDayFirst;
  return time;
}

struct Form {
  const char* example;
  std::optional<TextTime> (*parse)(Scanner text);
};
constexpr std::array kForms{
    Form{"2014-05-16 19:17:37 UTC", year_first},
    Form{"20140516T191737Z", iso_basic},
    Form{"Fri May 16 19:17:37 +0000 2014", date_output},
    Form{"Fri, 16 May 2014 19:17:37 +0000", day_month_year},
    Form{"May 16, 2014 7:17 PM", month_day_year},
    Form{"05/16/2014 07:17:37 PM", year_last},
};

}  // namespace

std::vector<std::string> time_form_names() {
  std::vector<std::string> names;
  for (const Form& form : kForms) names.emplace_back(form.example);
  return names;
}

std::optional<TextTime> parse_time_text(std::string_view text, int32_t& form) {
  for (size_t tried = 0; tried < kForms.size(); ++tried) {
    const size_t f = (static_cast<size_t>(form) + tried) % kForms.size();
    auto time = kForms[f].parse(Scanner(text));
    if (!time) continue;
    time->form = form = static_cast<int32_t>(f);
    return time;
  }
  return std::nullopt;
}

double day_first(double month_first) {
  using namespace std::chrono;
  const double day = std::floor(month_first / static_cast<double>(kSecondsPerDay));
  const year_month_day date{sys_days(days(static_cast<int64_t>(day)))};
  const auto swapped =
      midnight(static_cast<int>(date.year()), static_cast<int>(static_cast<unsigned>(date.day())),
               static_cast<int>(static_cast<unsigned>(date.month())));
  return swapped.value_or(month_first) + month_first - day * static_cast<double>(kSecondsPerDay);
}

std::optional<double> parse_time_format(const std::string& text, const std::string& format) {
  std::tm time{};
  time.tm_mday = 1;
  const char* end = strptime(text.c_str(), format.c_str(), &time);
  if (end == nullptr || end != text.c_str() + text.size()) return std::nullopt;
  const int64_t offset = time.tm_gmtoff;
  return static_cast<double>(timegm(&time)) - static_cast<double>(offset);
}

}  // namespace etrlrec
