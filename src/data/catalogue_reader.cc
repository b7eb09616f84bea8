#include "data/catalogue_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/strings.h"
#include "data/cells.h"
#include "data/table_stream.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kRejectedText = 200;

// Parts of names of columns whose values are known only after the events: they count them, or say
// what was chosen together.
constexpr std::array<std::string_view, 16> kFutureNames = {
    "average_rating", "avg_rating",    "rating_number", "ratings_count",
    "salesrank",      "sales_rank",    "sellers rank",  "num_reviews",
    "review_count",   "reviews_count", "vote_average",  "vote_count",
    "also_buy",       "also_bought",   "also_view",     "popular_shelves"};
constexpr std::array<std::string_view, 3> kFutureWholeNames = {"rank", "bought_together",
                                                               "similar_books"};

struct ItemRow {
  int64_t line = 0;
  std::vector<std::string> values;  // id, title, attributes
};

class ItemsReader {
 public:
  ItemsReader(const LogPlan& plan, const ReaderOptions& options, LogBuilder& builder,
              ReadReport& report)
      : plan_(plan),
        missing_(options.missing_words),
        builder_(builder),
        report_(report),
        file_(report.items.emplace()) {}

  void read() {
    file_.table = *plan_.items;
    file_.columns = {{"item", file_.table.columns[static_cast<size_t>(plan_.item_id)]},
                     {"title", file_.table.columns[static_cast<size_t>(plan_.title)]}};
    warn_about_columns();
    read_rows();
    for (size_t a = 0; a < plan_.attributes.size(); ++a) {
      builder_.add_field(plan_.attributes[a].field);
      const bool bar = std::any_of(rows_.begin(), rows_.end(), [&](const ItemRow& row) {
        return row.values[a + 2].find('|') != std::string::npos;
      });
      const std::string& usual = plan_.attributes[a].usual;
      separators_.push_back(!usual.empty() ? usual : bar ? "|" : ",");
    }
    for (const ItemRow& row : rows_) add_item(row);
    warn_about_titles();
  }

 private:
  void reject(int64_t line, std::string reason, std::string_view text) {
    if (plan_.items_in_log) return;  // the log says it
    ++file_.rejected;
    report_.rejected.push_back({file_.table.path.filename().string(), line, std::move(reason),
                                to_utf8(text.substr(0, kRejectedText))});
  }

  void warn_about_columns() {
    for (const AttributeColumn& attribute : plan_.attributes) {
      const std::string name = ascii_lower(attribute.field);
      const bool future = std::any_of(kFutureNames.begin(), kFutureNames.end(),
                                      [&](std::string_view part) {
                                        return name.find(part) != std::string::npos;
                                      }) ||
                          std::find(kFutureWholeNames.begin(), kFutureWholeNames.end(), name) !=
                              kFutureWholeNames.end();
      if (future)
        report_.warnings.push_back(fmt::format(
            "attribute {}: counts what was chosen or said later, so texts and statistics "
            "will know the future",
            attribute.field));
    }
  }

  // Of a log only the first row of each item counts.
  void read_rows() {
    std::vector<int32_t> columns = {plan_.item_id, plan_.title};
    for (const AttributeColumn& attribute : plan_.attributes) columns.push_back(attribute.column);
    bool utf8 = true;
    read_table(
        file_.table, columns,
        [&](int64_t line, std::span<const std::string_view> values) {
          if (is_blank(values)) {
            ++file_.blank;
            return;
          }
          ++file_.rows;
          if (plan_.items_in_log && !is_first(values)) return;
          for (const auto value : values) utf8 = utf8 && is_utf8(value);
          rows_.push_back({line, {values.begin(), values.end()}});
        },
        [&](int64_t line, const std::string& reason, std::string_view text) {
          reject(line, reason, text);
        });
    if (utf8) return;
    file_.encoding = "Windows-1252";
    for (ItemRow& row : rows_)
      for (std::string& value : row.values)
        if (!is_utf8(value)) value = windows1252_to_utf8(value);
  }

  bool is_first(std::span<const std::string_view> values) {
    const auto [entry, added] =
        first_titles_.emplace(std::string(trim(values[0])), clean_title(values[1]));
    if (!added && entry->second != clean_title(values[1])) ++other_titles_;
    return added;
  }

  void add_item(const ItemRow& row) {
    const std::string_view id = trim(row.values[0]);
    std::string title = clean_title(row.values[1]);
    if (missing_.has(title)) {
      ++missing_titles_;
      title.clear();
    }
    quoted_titles_ += title.size() > 1 && title.front() == '"' && title.back() == '"';
    std::string problem = id_problem(id, "item", missing_);
    if (problem.empty() && !builder_.add_item(id, std::move(title)))
      problem = "item id occurs twice";
    if (!problem.empty()) {
      reject(row.line, std::move(problem), row.values[0] + " | " + row.values[1]);
      return;
    }
    for (size_t a = 0; a < plan_.attributes.size(); ++a) {
      const AttributeColumn& attribute = plan_.attributes[a];
      const std::string& cell = row.values[a + 2];
      if (!attribute.flag.empty()) {
        if (trim(cell) == "1") builder_.add_attribute(attribute.field, attribute.flag);
        continue;
      }
      for (const std::string& name :
           attribute_names(cell, attribute.separator, separators_[a], missing_))
        builder_.add_attribute(attribute.field, name);
    }
  }

  void warn_about_titles() {
    if (missing_titles_ > 0)
      report_.warnings.push_back(fmt::format(
          "{} titles are words for nothing (nan, NULL …): their ids stand in", missing_titles_));
    if (other_titles_ > 0)
      report_.warnings.push_back(
          fmt::format("{} rows give another title than the first row of their item, which counts",
                      other_titles_));
    if (quoted_titles_ > 0 && !file_.table.quoting && file_.table.kind == TableKind::kDelimited)
      report_.warnings.push_back(fmt::format(
          "{} titles stand in double quotes (--items-quoting on takes them off)", quoted_titles_));
  }

  const LogPlan& plan_;
  MissingWords missing_;
  LogBuilder& builder_;
  ReadReport& report_;
  FileReport& file_;
  std::vector<ItemRow> rows_;
  std::vector<std::string> separators_;                        // of attributes, where none is given
  std::unordered_map<std::string, std::string> first_titles_;  // of items in a log
  int64_t missing_titles_ = 0, other_titles_ = 0, quoted_titles_ = 0;
};

}  // namespace

void read_catalogue(const LogPlan& plan, const ReaderOptions& options, LogBuilder& builder,
                    ReadReport& report) {
  ItemsReader(plan, options, builder, report).read();
}

}  // namespace etrlrec
