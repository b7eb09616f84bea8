#include "base/log.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <mutex>

namespace etrlrec {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kPlainLine = std::chrono::seconds(10);

// The one writer to stderr: it knows whether a bar is on the last line.
struct Terminal {
  std::mutex mutex;
  LogOptions options;
  bool is_terminal = ::isatty(STDERR_FILENO) == 1;
  bool bar_open = false;

  bool color() const { return options.color && is_terminal && std::getenv("NO_COLOR") == nullptr; }
  void clear_bar() {
    if (bar_open) std::fputs("\r\033[2K", stderr);
    bar_open = false;
  }
};

Terminal& terminal() {
  static Terminal instance;
  return instance;
}

}  // namespace

void set_log_options(const LogOptions& options) {
  const std::lock_guard lock(terminal().mutex);
  terminal().options = options;
}

void log_message(std::string_view message) {
  Terminal& out = terminal();
  const std::lock_guard lock(out.mutex);
  if (out.options.quiet) return;
  out.clear_bar();
  fmt::print(stderr, "{}\n", message);
}

void log_warning_message(std::string_view message) {
  Terminal& out = terminal();
  const std::lock_guard lock(out.mutex);
  out.clear_bar();
  if (out.color()) {
    fmt::print(stderr, "\033[33mwarning:\033[0m {}\n", message);
  } else {
    fmt::print(stderr, "warning: {}\n", message);
  }
}

std::string format_count(double value) {
  for (const char* unit : {"", "k", "M", "G"}) {
    if (std::abs(value) < 999.5 || unit[0] == 'G') {
      const bool whole = unit[0] == '\0' && value == std::floor(value);
      return fmt::format("{:.{}f}{}", value, whole || std::abs(value) >= 99.5 ? 0 : 1, unit);
    }
    value /= 1000;
  }
  return {};
}

std::string format_duration(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (total < 3600) return fmt::format("{:02d}:{:02d}", total / 60, total % 60);
  return fmt::format("{}:{:02d}:{:02d}", total / 3600, total / 60 % 60, total % 60);
}

ProgressBar::ProgressBar(std::string label, int64_t total, int64_t start)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      start_(start),
      done_(start),
      begin_(std::chrono::steady_clock::now()),
      drawn_(begin_) {}

ProgressBar::~ProgressBar() { draw(true); }

double ProgressBar::elapsed_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

void ProgressBar::update(int64_t done, std::string_view note) {
  done_ = done;
  note_ = note;
  const auto now = std::chrono::steady_clock::now();
  const auto pause =
      terminal().is_terminal ? std::chrono::steady_clock::duration(kRedraw) : kPlainLine;
  if (now - drawn_ < pause) return;
  drawn_ = now;
  draw(false);
}

void ProgressBar::draw(bool last) {
  Terminal& out = terminal();
  const std::lock_guard lock(out.mutex);
  if (out.options.quiet || !out.options.progress) return;
  const double elapsed = elapsed_seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done_ - start_) / elapsed : 0;
  const double share =
      std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
  const double remaining = rate > 0 ? static_cast<double>(total_ - done_) / rate : 0;
  const std::string tail =
      fmt::format("{}/{} [{}<{}, {}it/s{}{}]", done_, total_, format_duration(elapsed),
                  format_duration(remaining), format_count(rate), note_.empty() ? "" : ", ", note_);
  if (!out.is_terminal) {
    fmt::print(stderr, "{} {:3.0f}% {}\n", label_, share * 100, tail);
    return;
  }
  constexpr int kWidth = 20;
  const int filled = static_cast<int>(share * kWidth);
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "·";
  fmt::print(stderr, "\r\033[2K{} {:3.0f}%|{}| {}", label_, share * 100, bar, tail);
  out.bar_open = !last;
  if (last) std::fputc('\n', stderr);
  std::fflush(stderr);
}

int64_t peak_rss_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace etrlrec
