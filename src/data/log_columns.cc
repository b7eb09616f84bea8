#include "data/log_columns.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/nearest_word.h"
#include "base/strings.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

const Names kUserNames = {"user",        "user_id",   "userid",   "uid",      "reviewerid",
                          "customer_id", "visitorid", "username", "author_id"};
const Names kItemNames = {"item",    "item_id",     "itemid",  "iid",        "movie_id",
                          "movieid", "parent_asin", "asin",    "product_id", "sku",
                          "book_id", "business_id", "news_id", "id"};
const Names kTimeNames = {"time",           "timestamp",  "ts",         "date",      "datetime",
                          "unixreviewtime", "event_time", "created_at", "date_added"};
const Names kRatingNames = {"rating", "score", "stars", "overall"};
const Names kTitleNames = {"title",       "name",          "item_name",
                           "movie_title", "product_title", "item_title"};

constexpr std::array<const char*, 5> kCompressed = {"", ".gz", ".zst", ".bz2", ".lz4"};

// A column of the log for a role, -1 where there is none and none is needed.
int32_t role_column(const ReaderOptions& options, const std::string& role, const Names& usual,
                    bool required, TableInfo& table) {
  const auto mapped = options.map.find(role);
  if (mapped != options.map.end()) return named_column(table, mapped->second, "--map " + role);
  const int32_t column = guessed_column(table, usual);
  const std::string numbers =
      table.header ? "user=COLUMN,item=COLUMN,time=COLUMN" : "user=1,item=2,time=3";
  CHECK(column >= 0 || !required, kUsage,
        "{}: no column looks like the {}; columns: {}\nhint: --map {}{}", table.path.string(), role,
        listed(table.columns), numbers,
        role == "time" ? "; a log without times: --time order" : "");
  return column;
}

}  // namespace

const Names& usual_user_names() { return kUserNames; }
const Names& usual_item_names() { return kItemNames; }
const Names& usual_time_names() { return kTimeNames; }
const Names& usual_title_names() { return kTitleNames; }

std::string listed(const Names& columns) { return fmt::format("{}", fmt::join(columns, ", ")); }

int32_t find_column(const Names& columns, const std::string& name) {
  const auto found = std::find(columns.begin(), columns.end(), name);
  return found == columns.end() ? -1 : static_cast<int32_t>(found - columns.begin());
}

int32_t guessed_column(const TableInfo& table, const Names& usual) {
  for (const std::string& name : usual) {
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (ascii_lower(table.columns[c]) == name) return static_cast<int32_t>(c);
    }
  }
  return -1;
}

int32_t named_column(TableInfo& table, const std::string& name, const std::string& option) {
  const int32_t column = find_column(table.columns, name);
  if (column >= 0) return column;
  const bool objects = table.kind == TableKind::kJsonLines || table.kind == TableKind::kPythonLines;
  const size_t dot = name.find('.');
  if (objects && dot != std::string::npos && find_column(table.columns, name.substr(0, dot)) >= 0) {
    table.columns.push_back(name);
    return static_cast<int32_t>(table.columns.size()) - 1;
  }
  const std::string nearest = nearest_word(name, table.columns, name.size());
  fail(ExitCode::kUsage, "{}: {} has no column \"{}\"; columns: {}{}", option, table.path.string(),
       name, listed(table.columns),
       nearest.empty() ? "" : fmt::format("\nhint: did you mean \"{}\"?", nearest));
}

TimeOptions time_options_of(const LogPlan& plan, const ReaderOptions& options) {
  TimeOptions time = options.time;
  if (!time.order && time.unit.empty() && time.format.empty()) time.format = plan.time_format;
  return time;
}

void find_log_columns(const ReaderOptions& options, LogPlan& plan) {
  TableInfo& table = plan.logs[0];
  plan.user = role_column(options, "user", kUserNames, true, table);
  plan.item = role_column(options, "item", kItemNames, true, table);
  if (!options.time.order) plan.time = role_column(options, "time", kTimeNames, true, table);
  plan.rating = role_column(options, "rating", kRatingNames, false, table);
  plan.rating_mapped = options.map.contains("rating");
}

Names header_hints(const ReaderOptions& options) {
  Names hints = {options.item_column, options.title};
  for (const auto& [role, column] : options.map) hints.push_back(column);
  hints.insert(hints.end(), options.attributes.begin(), options.attributes.end());
  for (const Names* usual : {&kUserNames, &kItemNames, &kTimeNames, &kRatingNames, &kTitleNames}) {
    hints.insert(hints.end(), usual->begin(), usual->end());
  }
  // Columns of a table without a header are called 1, 2, ...; such a name must not make the first
  // line a header.
  std::erase_if(hints, [](const std::string& hint) {
    return hint.find_first_not_of("0123456789") == std::string::npos;
  });
  return hints;
}

std::optional<fs::path> find_file(const fs::path& folder, const std::string& name) {
  for (const char* suffix : kCompressed) {
    const fs::path path = folder / (name + suffix);
    if (fs::is_regular_file(path)) return path;
  }
  return std::nullopt;
}

std::string plain_name(const fs::path& path) {
  const std::string suffix = path.extension().string();
  const bool compressed = !suffix.empty() && std::find(kCompressed.begin(), kCompressed.end(),
                                                       suffix) != kCompressed.end();
  return (compressed ? path.stem() : path.filename()).string();
}

}  // namespace etrlrec
