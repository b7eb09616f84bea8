#include "data/reader_plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "data/layout_mind.h"
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
  bool fixed;              // delimiters, quoting and catalogue columns are the layout's own
  bool fixed_header;
  std::optional<LogPlan> (*plan)(const fs::path& path, const ReaderOptions& options);
};
constexpr std::array kFormats{
    LogFormat{"movielens", "u.data, ratings.csv or ratings.dat", false, true, true, plan_movielens},
    LogFormat{"recbole", "an .inter file", true, false, true, plan_recbole},
    LogFormat{"mind", "behaviors.tsv", false, true, true, plan_mind},
    LogFormat{"table", "a file", true, false, false, plan_table},
};

struct GivenOption {
  const char* name;
  bool given, heeded;
};

void refuse_given(const std::vector<GivenOption>& options, const std::string& reason) {
  for (const GivenOption& option : options)
    CHECK(!option.given || option.heeded, kUsage, "{}: has no effect here: {}", option.name,
          reason);
}

// Options about how a file is written, where the file says that itself.
void check_table(const TableInfo& table, const TableOptions& given, const LogFormat& format,
                 const std::array<const char*, 3>& names) {
  const bool delimited = table.kind == TableKind::kDelimited;
  const std::string reason =
      delimited ? fmt::format("{} is in the layout {}\nhint: --format table", table.path.string(),
                              format.name)
                : fmt::format("{} is {}", table.path.string(), table_kind_name(table.kind));
  refuse_given({{names[0], !given.delimiter.empty(), delimited && !format.fixed},
                {names[1], given.header.has_value(), delimited && !format.fixed_header},
                {names[2], given.quoting.has_value(), delimited && !format.fixed}},
               reason);
}

// Error (kUsage) for an option that this plan does not look at.
void check_heeded(const LogPlan& plan, const LogFormat& format, const ReaderOptions& options) {
  check_table(plan.logs[0], options.log_table, format, {"--delimiter", "--header", "--quoting"});
  const std::array<const char*, 3> item_names{"--items-delimiter", "--items-header",
                                              "--items-quoting"};
  if (plan.items && !plan.items_in_log)
    check_table(*plan.items, options.item_table, format, item_names);
  const TableOptions& table = options.item_table;
  const bool own_file = plan.items && !plan.items_in_log;
  refuse_given({{item_names[0], !table.delimiter.empty(), own_file},
                {item_names[1], table.header.has_value(), own_file},
                {item_names[2], table.quoting.has_value(), own_file},
                {"--title", !options.title.empty(), plan.items.has_value()},
                {"--attributes", !options.attributes.empty(), plan.items.has_value()},
                {"--item-column", !options.item_column.empty(), plan.items.has_value()}},
               "there is no file of items\nhint: --items FILE");
  const bool columns = format.fixed && !plan.logs[0].header;
  refuse_given({{"--item-column", !options.item_column.empty(), !format.fixed},
                {"--map", !options.map.empty(), !columns},
                {"--attribute-separator", !options.attribute_separator.empty(),
                 !format.fixed && !plan.attributes.empty()}},
               plan.attributes.empty() && !format.fixed
                   ? "no attributes are read\nhint: --attributes COLUMN"
                   : fmt::format("{} files have fixed columns\nhint: --format table", format.name));
}

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
  const LogFormat* found = nullptr;
  for (const LogFormat& format : kFormats) {
    const bool asked = options.format == format.name;
    const bool tried = options.format == "auto" && (format.guessed_with_map || options.map.empty());
    if (plan || !(asked || tried)) continue;
    plan = format.plan(path, options);
    found = &format;
    CHECK(plan || !asked, kInput, "{}: expected {}, found none", path.string(), format.files);
  }
  std::vector<std::string> layouts;
  for (const LogFormat& format : kFormats)
    layouts.push_back(fmt::format("{} ({})", format.name, format.files));
  CHECK(plan, kInput, "{}: expected one of {}; found none of them in this folder", path.string(),
        fmt::join(layouts, ", "));
  check_heeded(*plan, *found, options);
  return *plan;
}

}  // namespace etrlrec
