// What a person sees of a run: messages and progress bars on stderr. There is one writer, so that
// bars and lines do not tear.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace etrlrec {

struct LogOptions {
  bool quiet = false;    // only warnings and errors
  bool progress = true;  // bars; off also when stderr is no terminal (then a plain line every 10 s)
  bool color = true;     // off with NO_COLOR or when stderr is no terminal
};
void set_log_options(const LogOptions& options);

void log_message(std::string_view message);
void log_warning_message(std::string_view message);
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_message(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_warning_message(fmt::format(format, std::forward<Args>(args)...));
}

// "SFT  12%|###-----| 120/1000 [00:41<05:02, 2.91it/s, loss=1.83]"
class ProgressBar {
 public:
  ProgressBar(std::string label, int64_t total, int64_t start = 0);
  ~ProgressBar();  // finishes the line
  // `note` is shown after the rate, e.g. "loss=1.83, tok/s=8.4k". Redraws at most ten times a
  // second.
  void update(int64_t done, std::string_view note = {});
  double elapsed_seconds() const;

 private:
  void draw(bool last);
  std::string label_, note_;
  int64_t total_, start_, done_;
  std::chrono::steady_clock::time_point begin_, drawn_;
};

std::string format_count(double value);       // 8412 -> "8.4k"
std::string format_duration(double seconds);  // 302 -> "05:02"

int64_t peak_rss_bytes();  // of this process so far
}  // namespace etrlrec
