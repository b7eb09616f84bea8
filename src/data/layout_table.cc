#include "data/layout_table.h"

#include "base/check.h"
#include "data/table_sniff.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

void plan_items(const ReaderOptions& options, LogPlan& plan) {
  TableInfo& table = *plan.items;
  const std::string& log_name = plan.logs[0].columns[static_cast<size_t>(plan.item)];
  if (!options.item_column.empty()) {
    plan.item_id = named_column(table, options.item_column, "--item-column");
  } else {
    plan.item_id = find_column(table.columns, log_name);
    if (plan.item_id < 0) plan.item_id = guessed_column(table, usual_item_names());
    CHECK(plan.item_id >= 0, kUsage,
          "{}: no column \"{}\" and none that looks like the item id; columns: {}\nhint: "
          "--item-column COLUMN",
          table.path.string(), log_name, listed(table.columns));
  }
  plan.title = options.title.empty() ? guessed_column(table, usual_title_names())
                                     : named_column(table, options.title, "--title");
  CHECK(plan.title >= 0, kUsage,
        "{}: no column looks like a title; columns: {}\nhint: --title COLUMN", table.path.string(),
        listed(table.columns));
  for (const std::string& name : options.attributes) {
    const int32_t column = named_column(table, name, "--attributes");
    plan.attributes.push_back({column, name, options.attribute_separator, "", ""});
  }
}

}  // namespace

std::optional<LogPlan> plan_table(const fs::path& path, const ReaderOptions& options) {
  if (fs::is_directory(path)) return std::nullopt;
  LogPlan plan;
  plan.format = "table";
  TableOptions table_options = options.log_table;
  table_options.header_hints = header_hints(options);
  plan.logs = {sniff_table(path, table_options)};
  find_log_columns(options, plan);
  // Its numbers are lines of book_id_map.csv; the catalogue has numbers, too, of other books.
  CHECK(options.items.empty() || plain_name(path) != "goodreads_interactions.csv" ||
            !plan.logs[0].header || find_column(plan.logs[0].columns, "is_reviewed") < 0,
        kInput,
        "{}: its book_id are not those of the catalogue, so that titles would be of other "
        "books\nhint: awk -F, -v OFS=, 'NR==FNR {{id[$1]=$2; next}} FNR>1 {{$2=id[$2]}} 1' "
        "book_id_map.csv goodreads_interactions.csv > interactions.csv",
        path.string());
  plan.items_in_log = options.items.empty()
                          ? !options.title.empty() || !options.attributes.empty()
                          : fs::exists(options.items) && fs::equivalent(options.items, path);
  if (plan.items_in_log) {
    plan.items = plan.logs[0];
  } else if (!options.items.empty()) {
    TableOptions items_options = options.item_table;
    items_options.header_hints = table_options.header_hints;
    plan.items = sniff_table(options.items, items_options);
  }
  if (plan.items) plan_items(options, plan);
  return plan;
}

}  // namespace etrlrec
