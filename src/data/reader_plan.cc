// The layouts people have: MovieLens (u.data + u.item, ratings.csv + movies.csv, ratings.dat +
// movies.dat), RecBole atomic files (*.inter + *.item, header name:type), and tables whose columns
// are mapped by the caller or guessed by name.
#include "data/reader_plan.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"
#include "base/nearest_word.h"
#include "base/strings.h"
#include "data/table_sniff.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

const Names kUserNames = {"user",       "user_id",     "userid",    "uid",
                          "reviewerid", "customer_id", "visitorid", "author_id"};
const Names kItemNames = {"item",        "item_id", "itemid",     "iid", "movie_id", "movieid",
                          "parent_asin", "asin",    "product_id", "sku", "id"};
const Names kTimeNames = {"time",     "timestamp",      "ts",         "date",
                          "datetime", "unixreviewtime", "event_time", "created_at"};
const Names kRatingNames = {"rating", "score", "stars", "overall"};
const Names kTitleNames = {"title",       "name",          "item_name",
                           "movie_title", "product_title", "item_title"};

// Genres of u.item in the order of its last 19 columns; the first, "unknown", means that none is
// known.
constexpr std::array<const char*, 19> kMovieLensGenres = {
    "",          "Action",   "Adventure",   "Animation", "Children's",
    "Comedy",    "Crime",    "Documentary", "Drama",     "Fantasy",
    "Film-Noir", "Horror",   "Musical",     "Mystery",   "Romance",
    "Sci-Fi",    "Thriller", "War",         "Western"};

std::string listed(const Names& columns) { return fmt::format("{}", fmt::join(columns, ", ")); }

int32_t find_column(const Names& columns, const std::string& name) {
  const auto found = std::find(columns.begin(), columns.end(), name);
  return found == columns.end() ? -1 : static_cast<int32_t>(found - columns.begin());
}

// A column asked for by name; the error lists what there is and the nearest name.
int32_t named_column(const TableInfo& table, const std::string& name, const std::string& option) {
  const int32_t column = find_column(table.columns, name);
  if (column >= 0) return column;
  const std::string nearest = nearest_word(name, table.columns, name.size());
  fail(ExitCode::kUsage, "{}: {} has no column \"{}\"; columns: {}{}", option, table.path.string(),
       name, listed(table.columns),
       nearest.empty() ? "" : fmt::format("\nhint: did you mean \"{}\"?", nearest));
}

// The first of the usual names that is a column, -1 if none.
int32_t guessed_column(const TableInfo& table, const Names& usual) {
  for (const std::string& name : usual) {
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (ascii_lower(table.columns[c]) == name) return static_cast<int32_t>(c);
    }
  }
  return -1;
}

int32_t role_column(const TableInfo& table, const ReaderOptions& options, const std::string& role,
                    const Names& usual, bool required) {
  const auto mapped = options.map.find(role);
  if (mapped != options.map.end()) return named_column(table, mapped->second, "--map " + role);
  const int32_t column = guessed_column(table, usual);
  CHECK(column >= 0 || !required, kUsage,
        "{}: no column looks like the {}; columns: {}\nhint: --map user=COLUMN,item=COLUMN,time="
        "COLUMN",
        table.path.string(), role, listed(table.columns));
  return column;
}

// `name` itself or with a compression suffix, inside `folder`.
std::optional<fs::path> find_file(const fs::path& folder, const std::string& name) {
  for (const char* suffix : {"", ".gz", ".zst"}) {
    const fs::path path = folder / (name + suffix);
    if (fs::is_regular_file(path)) return path;
  }
  return std::nullopt;
}

TableOptions fixed_table(const char* delimiter, bool header, bool quoting) {
  TableOptions options;
  options.delimiter = delimiter;
  options.header = header;
  options.quoting = quoting;
  return options;
}

struct MovieLensLayout {
  const char *log, *items, *delimiter, *items_delimiter;
  bool header;
};
constexpr std::array<MovieLensLayout, 3> kMovieLens = {{
    {"u.data", "u.item", "\t", "|", false},
    {"ratings.csv", "movies.csv", ",", ",", true},
    {"ratings.dat", "movies.dat", "::", "::", false},
}};

bool is_named(const fs::path& path, const std::string& name) {
  const std::string file = path.filename().string();
  return file == name || file == name + ".gz" || file == name + ".zst";
}

void plan_movielens_items(const fs::path& path, const MovieLensLayout& layout, LogPlan& plan) {
  plan.items = sniff_table(path, fixed_table(layout.items_delimiter, layout.header, layout.header));
  plan.item_id = 0;
  plan.title = 1;
  if (std::string_view(layout.items) == "movies.dat") {
    plan.items->columns = {"1", "2", "3"};  // a "::" in the first title is no fourth column
  }
  const size_t columns = plan.items->columns.size();
  if (std::string_view(layout.items) != "u.item") {
    CHECK(columns >= 3, kInput, "{}: expected id, title and genres, found {} columns",
          path.string(), columns);
    plan.attributes.push_back({2, "genre", "|", ""});
    return;
  }
  CHECK(columns == 24, kInput, "{}: expected 24 columns, found {}", path.string(), columns);
  for (size_t g = 1; g < kMovieLensGenres.size(); ++g) {
    plan.attributes.push_back({static_cast<int32_t>(5 + g), "genre", "", kMovieLensGenres[g]});
  }
}

std::optional<LogPlan> plan_movielens(const fs::path& path, const ReaderOptions& options) {
  for (const MovieLensLayout& layout : kMovieLens) {
    const bool folder = fs::is_directory(path);
    const auto log = folder                       ? find_file(path, layout.log)
                     : is_named(path, layout.log) ? std::optional(path)
                                                  : std::nullopt;
    if (!log) continue;
    const auto items = options.items.empty() ? find_file(log->parent_path(), layout.items)
                                             : std::optional(options.items);
    LogPlan plan;
    plan.format = std::string("movielens ") + layout.log;
    plan.log = sniff_table(*log, fixed_table(layout.delimiter, layout.header, layout.header));
    const Names expected = {"userId", "movieId", "rating", "timestamp"};
    const bool fits =
        plan.log.columns.size() == 4 && (!layout.header || plan.log.columns == expected);
    if (!fits && options.format == "auto") continue;  // another table of that name
    CHECK(fits, kInput, "{}: expected user, item, rating and time, found {} columns, first \"{}\"",
          log->string(), plan.log.columns.size(), plan.log.columns.front());
    CHECK(options.title.empty() && options.attributes.empty(), kUsage,
          "--title and --attributes: MovieLens files have fixed columns\nhint: --format table");
    plan.user = 0;
    plan.item = 1;
    plan.rating = 2;
    plan.time = 3;
    if (items) plan_movielens_items(*items, layout, plan);
    return plan;
  }
  return std::nullopt;
}

std::optional<fs::path> find_suffix(const fs::path& folder, const std::string& suffix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == suffix) found.push_back(entry.path());
  }
  CHECK(found.size() <= 1, kInput, "{}: expected one {} file, found {}", folder.string(), suffix,
        found.size());
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

// Header "name:type": names stay in the table, types are returned.
Names take_types(TableInfo& table) {
  Names types;
  for (std::string& column : table.columns) {
    const size_t colon = column.rfind(':');
    CHECK(colon != std::string::npos, kInput,
          "{}: expected a header of name:type fields as in RecBole's atomic files, found \"{}\"",
          table.path.string(), column);
    types.push_back(column.substr(colon + 1));
    column.resize(colon);
  }
  return types;
}

void plan_recbole_items(const fs::path& path, const ReaderOptions& options, LogPlan& plan) {
  plan.items = sniff_table(path, fixed_table("\t", true, false));
  TableInfo& table = *plan.items;
  const Names types = take_types(table);
  plan.item_id = role_column(table, options, "item", kItemNames, true);
  plan.title = options.title.empty() ? -1 : named_column(table, options.title, "--title");
  for (size_t c = 0; c < types.size() && plan.title < 0; ++c) {
    const std::string name = ascii_lower(table.columns[c]);
    const bool named = name.find("title") != std::string::npos || name == "name";
    if (types[c] == "token_seq" && named) plan.title = static_cast<int32_t>(c);
  }
  if (plan.title < 0) plan.title = guessed_column(table, kTitleNames);
  CHECK(plan.title >= 0, kUsage, "{}: no column looks like a title\nhint: --title COLUMN",
        path.string());
  for (size_t c = 0; c < types.size(); ++c) {
    const auto column = static_cast<int32_t>(c);
    const bool asked = std::find(options.attributes.begin(), options.attributes.end(),
                                 table.columns[c]) != options.attributes.end();
    const bool wanted = options.attributes.empty() ? types[c] == "token_seq" : asked;
    if (!wanted || column == plan.title || column == plan.item_id) continue;
    const std::string separator = types[c] == "token_seq" ? " " : "\n";  // a token is one value
    plan.attributes.push_back({column, table.columns[c], separator, ""});
  }
  for (const std::string& name : options.attributes) named_column(table, name, "--attributes");
}

std::optional<LogPlan> plan_recbole(const fs::path& path, const ReaderOptions& options) {
  const auto log = fs::is_directory(path)         ? find_suffix(path, ".inter")
                   : path.extension() == ".inter" ? std::optional(path)
                                                  : std::nullopt;
  if (!log) return std::nullopt;
  LogPlan plan;
  plan.format = "recbole";
  plan.log = sniff_table(*log, fixed_table("\t", true, false));
  take_types(plan.log);
  plan.user = role_column(plan.log, options, "user", kUserNames, true);
  plan.item = role_column(plan.log, options, "item", kItemNames, true);
  plan.time = role_column(plan.log, options, "time", kTimeNames, true);
  plan.rating = role_column(plan.log, options, "rating", kRatingNames, false);
  const auto items = options.items.empty() ? find_suffix(log->parent_path(), ".item")
                                           : std::optional(options.items);
  if (items) plan_recbole_items(*items, options, plan);
  return plan;
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

void plan_table_items(const ReaderOptions& options, LogPlan& plan) {
  TableOptions table_options = options.item_table;
  table_options.header_hints = header_hints(options);
  plan.items = sniff_table(options.items, table_options);
  const TableInfo& table = *plan.items;
  const std::string& log_name = plan.log.columns[plan.item];
  if (!options.item_column.empty()) {
    plan.item_id = named_column(table, options.item_column, "--item-column");
  } else {
    plan.item_id = find_column(table.columns, log_name);
    if (plan.item_id < 0) plan.item_id = guessed_column(table, kItemNames);
    CHECK(plan.item_id >= 0, kUsage,
          "{}: no column \"{}\" and none that looks like the item id\nhint: --item-column COLUMN",
          table.path.string(), log_name);
  }
  plan.title = options.title.empty() ? guessed_column(table, kTitleNames)
                                     : named_column(table, options.title, "--title");
  CHECK(plan.title >= 0, kUsage, "{}: no column looks like a title\nhint: --title COLUMN",
        table.path.string());
  for (const std::string& name : options.attributes) {
    const int32_t column = named_column(table, name, "--attributes");
    plan.attributes.push_back({column, name, options.attribute_separator, ""});
  }
}

std::optional<LogPlan> plan_table(const fs::path& path, const ReaderOptions& options) {
  if (fs::is_directory(path)) return std::nullopt;
  LogPlan plan;
  plan.format = "table";
  TableOptions table_options = options.log_table;
  table_options.header_hints = header_hints(options);
  plan.log = sniff_table(path, table_options);
  plan.user = role_column(plan.log, options, "user", kUserNames, true);
  plan.item = role_column(plan.log, options, "item", kItemNames, true);
  plan.time = role_column(plan.log, options, "time", kTimeNames, true);
  plan.rating = role_column(plan.log, options, "rating", kRatingNames, false);
  if (!options.items.empty()) plan_table_items(options, plan);
  return plan;
}

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
