#include "data/layout_movielens.h"

#include <array>

#include "base/check.h"
#include "data/table_sniff.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

// Genres of u.item in the order of its last 19 columns; the first, "unknown", means that none is
// known.
constexpr std::array<const char*, 19> kMovieLensGenres = {
    "",          "Action",   "Adventure",   "Animation", "Children's",
    "Comedy",    "Crime",    "Documentary", "Drama",     "Fantasy",
    "Film-Noir", "Horror",   "Musical",     "Mystery",   "Romance",
    "Sci-Fi",    "Thriller", "War",         "Western"};

struct MovieLensLayout {
  const char *log, *items, *delimiter, *items_delimiter;
  bool header;
};
constexpr std::array<MovieLensLayout, 3> kLayouts = {{
    {"u.data", "u.item", "\t", "|", false},
    {"ratings.csv", "movies.csv", ",", ",", true},
    {"ratings.dat", "movies.dat", "::", "::", false},
}};

TableInfo sniff(const fs::path& path, const char* delimiter, bool header) {
  TableOptions options;
  options.delimiter = delimiter;
  options.header = options.quoting = header;
  return sniff_table(path, options);
}

void plan_named_items(const fs::path& path, LogPlan& plan) {
  const TableInfo& table = *plan.items;
  plan.item_id = guessed_column(table, usual_item_names());
  plan.title = guessed_column(table, usual_title_names());
  CHECK(plan.item_id >= 0 && plan.title >= 0, kInput,
        "{}: expected columns for id and title, found {}\nhint: --format table --input RATINGS "
        "--items "
        "MOVIES --title COLUMN",
        path.string(), listed(table.columns));
  if (const int32_t genres = guessed_column(table, {"genres", "genre"}); genres >= 0)
    plan.attributes.push_back({genres, "genre", "", "|", ""});
}

void plan_items(const fs::path& path, const MovieLensLayout& layout, LogPlan& plan) {
  plan.items = sniff(path, layout.items_delimiter, layout.header);
  if (layout.header) return plan_named_items(path, plan);
  plan.item_id = 0;
  plan.title = 1;
  if (std::string_view(layout.items) == "movies.dat") {
    plan.items->columns = {"1", "2", "3"};  // a "::" in the first title is no fourth column
    plan.attributes.push_back({2, "genre", "|", "", ""});
    return;
  }
  const size_t columns = plan.items->columns.size();
  CHECK(columns == 24, kInput, "{}: expected 24 columns, found {}", path.string(), columns);
  for (size_t g = 1; g < kMovieLensGenres.size(); ++g)
    plan.attributes.push_back({static_cast<int32_t>(5 + g), "genre", "", "", kMovieLensGenres[g]});
}

// False where the table is another one of that name.
bool plan_columns(const MovieLensLayout& layout, const ReaderOptions& options, LogPlan& plan) {
  const TableInfo& log = plan.logs[0];
  const bool any = options.format == "auto";
  if (layout.header) {
    const bool named = guessed_column(log, usual_user_names()) >= 0 &&
                       guessed_column(log, usual_item_names()) >= 0 &&
                       guessed_column(log, usual_time_names()) >= 0;
    if (!named && any) return false;
    find_log_columns(options, plan);
    return true;
  }
  const bool fits = log.columns.size() == 4;
  CHECK(fits || any, kInput, "{}: expected user, item, rating and time, found {} columns",
        log.path.string(), log.columns.size());
  plan.user = 0;
  plan.item = 1;
  plan.rating = 2;
  plan.time = 3;
  return fits;
}

}  // namespace

std::optional<LogPlan> plan_movielens(const fs::path& path, const ReaderOptions& options) {
  for (const MovieLensLayout& layout : kLayouts) {
    const auto log = fs::is_directory(path)           ? find_file(path, layout.log)
                     : plain_name(path) == layout.log ? std::optional(path)
                                                      : std::nullopt;
    if (!log) continue;
    const auto items = options.items.empty() ? find_file(log->parent_path(), layout.items)
                                             : std::optional(options.items);
    LogPlan plan;
    plan.format = std::string("movielens ") + layout.log;
    plan.logs = {sniff(*log, layout.delimiter, layout.header)};
    if (!plan_columns(layout, options, plan)) continue;
    CHECK(options.title.empty() && options.attributes.empty(), kUsage,
          "--title and --attributes: MovieLens files have fixed columns\nhint: --format table");
    if (items) plan_items(*items, layout, plan);
    return plan;
  }
  return std::nullopt;
}

}  // namespace etrlrec
