#include "eval/time_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "eval/html.h"
#include "eval/plots.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr double kSide = 14, kAxis = 30, kColumn = 92, kLineHeight = 15, kColumnWidth = 112;
constexpr int64_t kHour = 3600, kDay = 86400;

struct TimeTick {
  int64_t time = 0;
  std::string label;
};

// Calendar ticks, at most about eight of them: hours, days or firsts of months.
std::vector<TimeTick> time_ticks(int64_t begin, int64_t end) {
  using namespace std::chrono;
  std::vector<TimeTick> ticks;
  const int64_t span = end - begin;
  for (const int64_t step : {kHour, 3 * kHour, 6 * kHour, 12 * kHour, kDay, 2 * kDay, 7 * kDay}) {
    if (span / step > 8) continue;
    for (int64_t t = (begin + step - 1) / step * step; t <= end; t += step) {
      const int64_t of_day = ((t % kDay) + kDay) % kDay;
      std::string day = format_date(t);
      day.resize(day.rfind(' '));  // without the year
      ticks.push_back(
          {t, of_day == 0 ? day : fmt::format("{:02}:{:02}", of_day / kHour, of_day % kHour / 60)});
    }
    return ticks;
  }
  const year_month_day first{floor<days>(sys_seconds{seconds{begin}})};
  int64_t step = 1;  // months
  while (span / (30 * kDay * step) > 8)
    step = step == 1 ? 2 : step == 2 ? 3 : step == 3 ? 6 : 2 * step;
  int64_t month =
      static_cast<int>(first.year()) * int64_t{12} + static_cast<unsigned>(first.month()) - 1;
  for (month = (month + step - 1) / step * step;; month += step) {
    const year_month_day date{year{static_cast<int>(month / 12)},
                              std::chrono::month{static_cast<unsigned>(month % 12 + 1)}, day{1}};
    const int64_t time = sys_seconds{sys_days{date}}.time_since_epoch().count();
    if (time > end) return ticks;
    if (time >= begin) ticks.push_back({time, format_date(time).substr(2)});
  }
}

// Words into at most three lines of about `width` code points; what does not fit ends in an
// ellipsis.
std::vector<std::string> wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word(text.substr(begin, end - begin));
    begin = end + 1;
    if (word.empty()) continue;
    if (!lines.empty() && code_points(lines.back()) + 1 + code_points(word) <= width)
      lines.back() += " " + word;
    else
      lines.push_back(word);
  }
  const bool cut = lines.size() > 3;
  if (cut) lines.resize(3);
  for (std::string& line : lines) {
    if (code_points(line) > width) line = std::string(first_code_points(line, width - 1)) + "…";
  }
  if (cut && !lines.back().ends_with("…")) lines.back() += "…";
  return lines;
}

// Title, detail and date below a column dot; returns the last baseline.
double add_label(std::string& out, const TimeLineEvent& event, double x, bool now) {
  double y = kColumn + 24;
  for (const std::string& line : wrap(event.title, 16)) {
    append(out, R"(<text class="{}" x="{:.1f}" y="{:g}">{}</text>)", now ? "event now" : "event", x,
           y, escape_html(line));
    y += kLineHeight;
  }
  for (const std::string& line : wrap(event.detail, 18)) {
    append(out, R"(<text class="detail" x="{:.1f}" y="{:g}">{}</text>)", x, y, escape_html(line));
    y += kLineHeight - 1;
  }
  append(out, R"(<text class="tick mid" x="{:.1f}" y="{:g}">{}</text>)", x, y,
         format_date(event.time));
  return y;
}

}  // namespace

std::string time_line(const std::vector<TimeLineEvent>& events) {
  CHECK(!events.empty(), kInput, "time line: expected at least one event, found none");
  for (size_t i = 1; i < events.size(); ++i) {
    CHECK(events[i].time >= events[i - 1].time, kInput,
          "time line: event {} is earlier than the one before it", i);
  }
  const double width = std::max(700.0, kColumnWidth * static_cast<double>(events.size()));
  const int64_t begin = events.front().time,
                span = std::max<int64_t>(1, events.back().time - begin);
  const double edge = kColumnWidth / 2;
  const auto axis_x = [&](int64_t time) {
    return edge +
           static_cast<double>(time - begin) / static_cast<double>(span) * (width - 2 * edge);
  };
  const auto column_x = [&](size_t i) {
    if (events.size() == 1) return width - edge;
    return edge +
           static_cast<double>(i) / static_cast<double>(events.size() - 1) * (width - 2 * edge);
  };
  std::string out;
  double bottom = kColumn;
  append(out, R"(<line class="axis" x1="{:g}" x2="{:g}" y1="{:g}" y2="{:g}"/>)", kSide,
         width - kSide, kAxis, kAxis);
  for (const TimeTick& tick : time_ticks(begin, events.back().time)) {
    append(out, R"(<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="{1:g}" y2="{2:g}"/>)",
           axis_x(tick.time), kAxis - 5, kAxis);
    append(out, R"(<text class="tick mid" x="{:.1f}" y="{:g}">{}</text>)", axis_x(tick.time),
           kAxis - 11, tick.label);
  }
  append(out, R"(<line class="thread" x1="{:.1f}" x2="{:.1f}" y1="{:g}" y2="{:g}"/>)", column_x(0),
         column_x(events.size() - 1), kColumn, kColumn);
  for (size_t i = 0; i < events.size(); ++i) {
    const bool now = i + 1 == events.size();
    const double from = axis_x(events[i].time), to = column_x(i), middle = (kAxis + kColumn) / 2;
    append(out,
           R"(<path class="lead" d="M{0:.1f} {1:g}C{0:.1f} {2:g} {3:.1f} {2:g} {3:.1f} {4:g}"/>)",
           from, kAxis, middle, to, kColumn);
    append(out, R"(<circle class="{}" cx="{:.1f}" cy="{:g}" r="3"/>)", now ? "point now" : "point",
           from, kAxis);
    append(out, R"(<circle class="{}" cx="{:.1f}" cy="{:g}" r="5.5"/>)",
           now ? "point now" : "point", to, kColumn);
    if (i > 0 && !events[i].gap.empty()) {
      const double x = (column_x(i - 1) + to) / 2;
      const double half = 3.2 * static_cast<double>(code_points(events[i].gap)) + 7;
      append(out, R"(<rect class="pill" x="{:.1f}" y="{:g}" width="{:.1f}" height="17" rx="8.5"/>)",
             x - half, kColumn - 8.5, 2 * half);
      append(out, R"(<text class="gap" x="{:.1f}" y="{:g}">{}</text>)", x, kColumn + 3.8,
             escape_html(events[i].gap));
    }
    bottom = std::max(bottom, add_label(out, events[i], to, now));
  }
  return fmt::format(
      R"(<svg class="timeline" viewBox="0 0 {:g} {:g}" style="min-width:{:g}px;max-width:{:g}px" )"
      R"(role="img" aria-label="time line of the history">{}</svg>)",
      width, bottom + 8, 0.8 * width, 1.1 * width, out);
}

}  // namespace etrlrec
