// SVG pictures of the report. Coordinates are user units of the viewBox; the page scales them.
#include "eval/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "eval/html.h"

namespace etrlrec {
namespace {

constexpr double kWidth = 340, kHeight = 190, kLeft = 42, kRight = 10, kTop = 8, kBottom = 34;
constexpr size_t kMostPoints = 300, kSmoothFrom = 40;
constexpr int kColors = 6;

// Maps data to the plot area.
struct Frame {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  double x(double value) const {
    return kLeft + (value - x_low) / (x_high - x_low) * (kWidth - kLeft - kRight);
  }
  double y(double value) const {
    return kHeight - kBottom - (value - y_low) / (y_high - y_low) * (kHeight - kTop - kBottom);
  }
};

std::string short_number(double value) {
  if (std::abs(value) < 1e-12) return "0";
  if (std::abs(value) >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (std::abs(value) >= 1e4) return fmt::format("{:g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

void open_svg(std::string& out, double width, double height, std::string_view kind,
              const std::string& label) {
  append(out, R"(<svg class="{}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">)", kind, width,
         height, escape_html(label));
}

// Means of equal bins when there are too many points to draw.
Series thin(const Series& series) {
  if (series.x.size() <= kMostPoints) return series;
  Series result{series.label, {}, {}};
  for (size_t bin = 0; bin < kMostPoints; ++bin) {
    const size_t begin = bin * series.x.size() / kMostPoints,
                 end = (bin + 1) * series.x.size() / kMostPoints;
    double x = 0, y = 0, count = 0;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
      x += series.x[i];
      y += series.y[i];
      count += 1;
    }
    if (count == 0) continue;
    result.x.push_back(x / count);
    result.y.push_back(y / count);
  }
  return result;
}

// Moving average over about a tenth of the points, one-sided at the ends.
Series smooth(const Series& series) {
  Series result = series;
  const auto n = static_cast<int64_t>(series.y.size()), reach = std::max<int64_t>(2, n / 20);
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0, count = 0;
    for (int64_t j = std::max<int64_t>(0, i - reach); j <= std::min(n - 1, i + reach); ++j) {
      if (!std::isfinite(series.y[j])) continue;
      sum += series.y[j];
      count += 1;
    }
    result.y[i] = sum / count;
  }
  return result;
}

void add_path(std::string& out, const Series& series, const Frame& frame, int color,
              std::string_view kind) {
  std::string path;
  bool pen_down = false;
  for (size_t i = 0; i < series.x.size(); ++i) {
    const bool finite = std::isfinite(series.x[i]) && std::isfinite(series.y[i]);
    if (finite)
      append(path, "{}{:.1f} {:.1f}", pen_down ? "L" : "M", frame.x(series.x[i]),
             frame.y(series.y[i]));
    pen_down = finite;
  }
  if (!path.empty()) append(out, R"(<path class="line c{} {}" d="{}"/>)", color, kind, path);
}

void add_axes(std::string& out, const Frame& frame, const std::vector<double>& y_ticks,
              const std::string& x_label) {
  for (const double tick : y_ticks) {
    append(out, R"(<line class="grid" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft,
           kWidth - kRight, frame.y(tick), frame.y(tick));
    append(out, R"(<text class="tick end" x="{:g}" y="{:.1f}">{}</text>)", kLeft - 6,
           frame.y(tick) + 3.5, short_number(tick));
  }
  append(out, R"(<line class="axis" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft,
         kWidth - kRight, kHeight - kBottom, kHeight - kBottom);
  append(out, R"(<text class="tick end" x="{:g}" y="{:g}">{}</text>)", kWidth - kRight, kHeight - 4,
         escape_html(x_label));
}

Frame frame_of(const LinePlot& plot, std::vector<double>& y_ticks) {
  double x_low = INFINITY, x_high = -INFINITY, y_low = plot.from_zero ? 0 : INFINITY,
         y_high = -INFINITY;
  for (const Series& series : plot.series) {
    CHECK(series.x.size() == series.y.size(), kInput,
          "plot \"{}\", series \"{}\": {} x values for {} y values", plot.title, series.label,
          series.x.size(), series.y.size());
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
      x_low = std::min(x_low, series.x[i]);
      x_high = std::max(x_high, series.x[i]);
      y_low = std::min(y_low, series.y[i]);
      y_high = std::max(y_high, series.y[i]);
    }
  }
  if (x_low > x_high) return {};
  for (const Series& level : plot.levels) {
    y_low = std::min(y_low, level.y.at(0));
    y_high = std::max(y_high, level.y.at(0));
  }
  y_ticks = nice_ticks(y_low, y_high, 4);
  if (x_low == x_high) x_low -= 1, x_high += 1;
  return {x_low, x_high, y_ticks.front(), y_ticks.back()};
}

std::string legend(const std::vector<Series>& series) {
  if (series.size() < 2) return "";
  std::string out = R"(<div class="legend">)";
  for (size_t s = 0; s < series.size(); ++s) {
    append(out, R"(<span><i class="swatch c{}"></i>{}</span>)", s % kColors,
           escape_html(series[s].label));
  }
  return out + "</div>";
}

}  // namespace

std::string format_date(int64_t time) {
  using namespace std::chrono;
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const year_month_day date{floor<days>(sys_seconds{seconds{time}})};
  return fmt::format("{} {} {}", static_cast<unsigned>(date.day()),
                     kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()));
}

std::vector<double> nice_ticks(double low, double high, int count) {
  CHECK(std::isfinite(low) && std::isfinite(high) && low <= high && count >= 2, kInput,
        "ticks: expected a finite range, found {} to {}", low, high);
  if (high - low < 1e-12 * std::max(1.0, std::abs(high))) {
    const double reach = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= reach;
    high += reach;
  }
  const double raw = (high - low) / count, scale = std::pow(10, std::floor(std::log10(raw)));
  const double part = raw / scale;
  const double step = scale * (part <= 1     ? 1
                               : part <= 2   ? 2
                               : part <= 2.5 ? 2.5
                               : part <= 5   ? 5
                                             : 10);
  std::vector<double> ticks;
  for (double n = std::floor(low / step + 1e-9);; ++n) {
    ticks.push_back(n * step);
    if (ticks.back() >= high - 1e-9 * step) return ticks;
  }
}

std::string line_plot(const LinePlot& plot) {
  std::vector<double> y_ticks;
  const Frame frame = frame_of(plot, y_ticks);
  std::string out = fmt::format(R"(<figure class="plot"><figcaption>{}</figcaption>{})",
                                escape_html(plot.title), legend(plot.series));
  if (y_ticks.empty()) return out + R"(<p class="empty">no values</p></figure>)";
  open_svg(out, kWidth, kHeight, "chart", plot.title);
  add_axes(out, frame, y_ticks, plot.x_label);
  for (const double tick : nice_ticks(frame.x_low, frame.x_high, 4)) {
    if (tick < frame.x_low || tick > frame.x_high) continue;
    append(out, R"(<text class="tick mid" x="{:.1f}" y="{:g}">{}</text>)", frame.x(tick),
           kHeight - kBottom + 14, short_number(tick));
  }
  for (size_t s = 0; s < plot.series.size(); ++s) {
    const Series drawn = thin(plot.series[s]);
    const int color = static_cast<int>(s % kColors);
    if (drawn.x.size() > kSmoothFrom) add_path(out, drawn, frame, color, "faint");
    add_path(out, drawn.x.size() > kSmoothFrom ? smooth(drawn) : drawn, frame, color, "");
    if (drawn.x.size() > kSmoothFrom) continue;
    for (size_t i = 0; i < drawn.x.size(); ++i) {
      if (!std::isfinite(drawn.x[i]) || !std::isfinite(drawn.y[i])) continue;
      append(out, R"(<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="2.2"/>)", color,
             frame.x(drawn.x[i]), frame.y(drawn.y[i]));
    }
  }
  for (const Series& level : plot.levels) {
    const double y = frame.y(level.y.at(0));
    append(out, R"(<line class="level" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft,
           kWidth - kRight, y, y);
    append(out, R"(<text class="tick halo" x="{:g}" y="{:.1f}">{}</text>)", kLeft + 4, y - 4,
           escape_html(level.label));
  }
  return out + "</svg></figure>";
}

std::string bar_plot(const BarPlot& plot) {
  double top = std::max(plot.top, plot.level);
  for (const double value : plot.values) {
    if (std::isfinite(value)) top = std::max(top, value);
  }
  std::string out =
      fmt::format(R"(<figure class="plot"><figcaption>{}</figcaption>)", escape_html(plot.title));
  if (plot.values.empty()) return out + R"(<p class="empty">no values</p></figure>)";
  const std::vector<double> y_ticks = nice_ticks(0, top > 0 ? top : 1, 4);
  const Frame frame{0, static_cast<double>(plot.values.size()), 0, y_ticks.back()};
  open_svg(out, kWidth, kHeight, "chart", plot.title);
  add_axes(out, frame, y_ticks, plot.x_label);
  const double step = frame.x(1) - frame.x(0);
  const size_t every = plot.values.size() <= 10 ? 1 : plot.values.size() <= 50 ? 5 : 25;
  for (size_t i = 0; i < plot.values.size(); ++i) {
    const double x = frame.x(static_cast<double>(i));
    if ((i + 1) % every == 0 || i == 0) {
      append(out, R"(<text class="tick mid" x="{:.1f}" y="{:g}">{}</text>)", x + step / 2,
             kHeight - kBottom + 14, i + 1);
    }
    if (!std::isfinite(plot.values[i])) continue;
    const double y = frame.y(plot.values[i]);
    append(
        out,
        R"(<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1"><title>{}: {:.3f}</title></rect>)",
        x + 0.14 * step, y, 0.72 * step, kHeight - kBottom - y, i + 1, plot.values[i]);
  }
  if (plot.level >= 0) {
    append(out, R"(<line class="level" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft,
           kWidth - kRight, frame.y(plot.level), frame.y(plot.level));
  }
  return out + "</svg></figure>";
}

std::string whisker(double mean, double low, double high, double top, double random, double bayes) {
  constexpr double kSpan = 200, kMiddle = 10;
  const auto x = [&](double value) { return 2 + std::clamp(value / top, 0.0, 1.0) * (kSpan - 4); };
  std::string out;
  open_svg(out, kSpan, 2 * kMiddle, "whisker",
           fmt::format("{:.3f}, interval {:.3f} to {:.3f}", mean, low, high));
  append(out, R"(<line class="grid" x1="2" x2="{:g}" y1="{:g}" y2="{:g}"/>)", kSpan - 2, kMiddle,
         kMiddle);
  if (random >= 0)
    append(out, R"(<line class="mark random" x1="{0:.1f}" x2="{0:.1f}" y1="3" y2="17"/>)",
           x(random));
  if (bayes >= 0)
    append(out, R"(<line class="mark bayes" x1="{0:.1f}" x2="{0:.1f}" y1="1" y2="19"/>)", x(bayes));
  append(out, R"(<rect class="reach" x="2" y="{:g}" width="{:.1f}" height="5"/>)", kMiddle - 2.5,
         x(mean) - 2);
  append(out, R"(<line class="span" x1="{:.1f}" x2="{:.1f}" y1="{:g}" y2="{:g}"/>)", x(low),
         x(high), kMiddle, kMiddle);
  for (const double end : {low, high}) {
    append(out, R"(<line class="span" x1="{0:.1f}" x2="{0:.1f}" y1="{1:g}" y2="{2:g}"/>)", x(end),
           kMiddle - 4, kMiddle + 4);
  }
  append(out, R"(<circle class="mean" cx="{:.1f}" cy="{:g}" r="3.4"/></svg>)", x(mean), kMiddle);
  return out;
}

std::string difference_whisker(double mean, double low, double high, double reach) {
  constexpr double kSpan = 160, kMiddle = 10;
  const auto x = [&](double value) {
    return kSpan / 2 + std::clamp(value / reach, -1.0, 1.0) * (kSpan / 2 - 4);
  };
  std::string out;
  open_svg(out, kSpan, 2 * kMiddle, "whisker",
           fmt::format("{:+.3f}, interval {:+.3f} to {:+.3f}", mean, low, high));
  append(out, R"(<line class="grid" x1="2" x2="{:g}" y1="{:g}" y2="{:g}"/>)", kSpan - 2, kMiddle,
         kMiddle);
  append(out, R"(<line class="mark random" x1="{0:.1f}" x2="{0:.1f}" y1="2" y2="18"/>)", x(0));
  append(out, R"(<line class="span" x1="{:.1f}" x2="{:.1f}" y1="{:g}" y2="{:g}"/>)", x(low),
         x(high), kMiddle, kMiddle);
  for (const double end : {low, high}) {
    append(out, R"(<line class="span" x1="{0:.1f}" x2="{0:.1f}" y1="{1:g}" y2="{2:g}"/>)", x(end),
           kMiddle - 4, kMiddle + 4);
  }
  append(out, R"(<circle class="mean" cx="{:.1f}" cy="{:g}" r="3.4"/></svg>)", x(mean), kMiddle);
  return out;
}

}  // namespace etrlrec
