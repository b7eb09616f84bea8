// Small SVG pictures as strings: line plots, bars and whiskers. They are pure functions; colours,
// fonts and dark mode come from the CSS classes of the page around them (report_style.cc). All text
// is escaped here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

std::string format_date(int64_t time);  // "4 May 2023", UTC
// Round numbers from at or below `low` to at or above `high`, about `count` of them.
std::vector<double> nice_ticks(double low, double high, int count);

struct Series {
  std::string label;
  std::vector<double> x, y;  // same length; points that are not finite leave a gap
};

// One small multiple: title, legend (from two series on) and plot. Series of more than 300 points
// are drawn as means of equal bins, those of more than 40 points faintly with a moving average on
// top.
struct LinePlot {
  std::string title, x_label;
  std::vector<Series> series;
  std::vector<Series> levels;  // horizontal lines: label and y[0]
  bool from_zero = false;      // the y axis starts at 0 at most
};
std::string line_plot(const LinePlot& plot);

struct BarPlot {
  std::string title, x_label;
  std::vector<double> values;  // bar i is labelled i + 1; NaN: no bar
  double level = -1;           // horizontal line, e.g. the random level; < 0: none
  double top = 0;              // end of the y axis; 0: from the values
};
std::string bar_plot(const BarPlot& plot);

// Interval on the scale 0..top: bar to the mean, whisker, ticks at the levels that are >= 0.
std::string whisker(double mean, double low, double high, double top, double random, double bayes);

// Interval of a difference on the scale -reach..reach with a line at 0.
std::string difference_whisker(double mean, double low, double high, double reach);

}  // namespace etrlrec
