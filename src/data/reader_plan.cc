#include "data/reader_plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "data/layout_movielens.h"
#include "data/layout_recbole.h"
#include "data/layout_table.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

// The first row that finds a log in the path is taken.
struct LogFormat {
  std::string_view name;   // of --format
  std::string_view files;  // what it looks for; messages say it
  bool guessed_with_map;   // without --format, is it tried when columns are mapped by hand?
  std::optional<LogPlan> (*plan)(const fs::path& path, const ReaderOptions& options);
};
constexpr std::array kFormats{
    LogFormat{"movielens", "u.data, ratings.csv or ratings.dat", false, plan_movielens},
    LogFormat{"recbole", "an .inter file", true, plan_recbole},
    LogFormat{"table", "a file", true, plan_table},
};

}  // namespace

std::vector<std::string> log_formats() {
  std::vector<std::string> names{"auto"};
  for (const LogFormat& format : kFormats) names.emplace_back(format.name);
  return names;
}

LogPlan plan_log(const fs::path& path, const ReaderOptions& options) {
  const std::vector<std::string> known = log_formats();
  CHECK(std::find(known.begin(), known.end(), options.format) != known.end(), kUsage,
        "unknown format \"{}\"; known: {}", options.format, fmt::join(known, ", "));
  CHECK(fs::exists(path), kInput, "{}: no such file or folder", path.string());
  for (const auto& [role, column] : options.map) {
    CHECK(role == "user" || role == "item" || role == "time" || role == "rating", kUsage,
          "--map: expected user, item, time or rating, found \"{}\"", role);
  }
  std::optional<LogPlan> plan;
  for (const LogFormat& format : kFormats) {
    const bool asked = options.format == format.name;
    const bool tried = options.format == "auto" && (format.guessed_with_map || options.map.empty());
    if (!plan && (asked || tried)) plan = format.plan(path, options);
    CHECK(plan || !asked, kInput, "{}: expected {}, found none", path.string(), format.files);
  }
  std::vector<std::string> layouts;
  for (const LogFormat& format : kFormats)
    layouts.push_back(fmt::format("{} ({})", format.name, format.files));
  CHECK(plan, kInput, "{}: expected one of {}; found none of them in this folder", path.string(),
        fmt::join(layouts, ", "));
  return *plan;
}

}  // namespace etrlrec
