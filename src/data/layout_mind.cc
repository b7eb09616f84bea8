#include "data/layout_mind.h"

#include "base/check.h"
#include "data/table_sniff.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

constexpr const char *kBehaviors = "behaviors.tsv", *kNews = "news.tsv";

TableInfo sniff_tabs(const fs::path& path) {
  TableOptions options;
  options.delimiter = "\t";
  options.header = options.quoting = false;
  return sniff_table(path, options);
}

// news id, category, subcategory, title, abstract, url, entities of both
void plan_news(const fs::path& path, LogPlan& plan) {
  plan.items = sniff_tabs(path);
  CHECK(plan.items->columns.size() >= 4, kInput,
        "{}: expected news id, category, subcategory and title, found {} columns", path.string(),
        plan.items->columns.size());
  plan.item_id = 0;
  plan.title = 3;
  plan.attributes = {{1, "category", "|", "", ""}, {2, "subcategory", "|", "", ""}};
}

}  // namespace

std::optional<LogPlan> plan_mind(const fs::path& path, const ReaderOptions& options) {
  const auto log = fs::is_directory(path)           ? find_file(path, kBehaviors)
                   : plain_name(path) == kBehaviors ? std::optional(path)
                                                    : std::nullopt;
  if (!log) return std::nullopt;
  LogPlan plan;
  plan.format = "mind";
  plan.logs = {sniff_tabs(*log)};
  const size_t columns = plan.logs[0].columns.size();
  if (columns != 5 && options.format == "auto") return std::nullopt;
  CHECK(columns == 5, kInput,
        "{}: expected impression id, user, time, history and impressions, found {} columns",
        log->string(), columns);
  CHECK(options.title.empty() && options.attributes.empty(), kUsage,
        "--title and --attributes: MIND files have fixed columns\nhint: --format table");
  plan.user = 1;
  plan.item = 4;
  plan.impressions = true;
  if (!options.time.order) plan.time = 2;
  plan.time_format = "%m/%d/%Y %I:%M:%S %p";
  plan.notes = {
      "MIND: events are the clicked impressions; histories (without times) and what was shown and "
      "not clicked are left out, so a user's first event is seldom their first click"};
  const auto news =
      options.items.empty() ? find_file(log->parent_path(), kNews) : std::optional(options.items);
  if (news) plan_news(*news, plan);
  return plan;
}

}  // namespace etrlrec
