// Carries out a plan (data/reader_plan.h): the catalogue first, so that its order numbers the
// items, then the log in one pass. Catalogue text that is not UTF-8 is read as ISO-8859-1 as a
// whole file, and the report says so.
#include "data/readers.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/strings.h"
#include "data/log_builder.h"
#include "data/reader_plan.h"
#include "data/table_stream.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kRejectedText = 200;

// Runs of control characters become one space, so that a title stays on its line.
std::string clean_title(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else if (!out.ends_with(' ')) {
      out += ' ';
    }
  }
  return out;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

// Empty when usable.
std::string id_problem(std::string_view id, const char* what) {
  if (id.empty()) return fmt::format("empty {} id", what);
  if (!is_utf8(id)) return fmt::format("{} id is not UTF-8", what);
  if (has_control(id)) return fmt::format("{} id holds a control character", what);
  return {};
}

std::optional<float> parse_rating(std::string_view text) {
  float value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

class LogReader {
 public:
  LogReader(const LogPlan& plan, const ReaderOptions& options) : plan_(plan), options_(options) {}

  ReadResult read() {
    ReadResult result;
    report_.format = plan_.format;
    if (plan_.items) read_items();
    read_interactions();
    if (options_.strict) check_strict();
    result.dataset = builder_.finish(time_, options_.keep_duplicates, report_);
    CHECK(result.dataset.num_interactions() > 0, kInput,
          "{}: expected interactions, found none that can be used ({} rejected{})",
          plan_.log.path.string(), report_.rejected.size(),
          report_.rejected.empty() ? "" : ", first: " + report_.rejected[0].reason);
    result.report = std::move(report_);
    return result;
  }

 private:
  void reject(FileReport& file, int64_t line, std::string reason, std::string_view text) {
    ++file.rejected;
    report_.rejected.push_back({file.table.path.filename().string(), line, std::move(reason),
                                to_utf8(text.substr(0, kRejectedText))});
  }

  static std::string joined(std::span<const std::string_view> values) {
    std::string text(values[0]);
    for (const auto value : values.subspan(1)) text.append(" | ").append(value);
    return text;
  }

  static bool is_blank(std::span<const std::string_view> values) {
    return std::all_of(values.begin(), values.end(),
                       [](std::string_view value) { return trim(value).empty(); });
  }

  void read_items() {
    FileReport& file = report_.items.emplace();
    file.table = *plan_.items;
    std::vector<int32_t> columns = {plan_.item_id, plan_.title};
    for (const AttributeColumn& attribute : plan_.attributes) columns.push_back(attribute.column);
    file.columns = {{"item", file.table.columns[plan_.item_id]},
                    {"title", file.table.columns[plan_.title]}};
    struct ItemRow {
      int64_t line;
      std::vector<std::string> values;
    };
    std::vector<ItemRow> rows;
    bool utf8 = true;
    read_table(
        file.table, columns,
        [&](int64_t line, std::span<const std::string_view> values) {
          if (is_blank(values)) {
            ++file.blank;
            return;
          }
          for (const auto value : values) utf8 = utf8 && is_utf8(value);
          rows.push_back({line, {values.begin(), values.end()}});
        },
        [&](int64_t line, const std::string& reason, std::string_view text) {
          reject(file, line, reason, text);
        });
    if (!utf8) {
      file.encoding = "ISO-8859-1";
      for (ItemRow& row : rows) {
        for (std::string& value : row.values) value = latin1_to_utf8(value);
      }
    }
    std::vector<std::string> separators;
    for (size_t a = 0; a < plan_.attributes.size(); ++a) {
      std::string separator = plan_.attributes[a].separator;
      if (separator.empty()) {
        const bool bar = std::any_of(rows.begin(), rows.end(), [&](const ItemRow& row) {
          return row.values[a + 2].find('|') != std::string::npos;
        });
        separator = bar ? "|" : ",";
      }
      separators.push_back(separator);
      builder_.add_field(plan_.attributes[a].field);
    }
    for (const ItemRow& row : rows) add_item(file, row.line, row.values, separators);
    file.rows = static_cast<int64_t>(rows.size());
  }

  void add_item(FileReport& file, int64_t line, const std::vector<std::string>& values,
                const std::vector<std::string>& separators) {
    const std::string_view id = trim(values[0]);
    std::string problem = id_problem(id, "item");
    if (problem.empty() && !builder_.add_item(id, clean_title(values[1]))) {
      problem = "item id occurs twice";
    }
    if (!problem.empty()) {
      reject(file, line, std::move(problem), values[0] + " | " + values[1]);
      return;
    }
    for (size_t a = 0; a < plan_.attributes.size(); ++a) {
      const AttributeColumn& attribute = plan_.attributes[a];
      std::string_view rest = values[a + 2];
      if (!attribute.flag.empty()) {
        if (trim(rest) == "1") builder_.add_attribute(attribute.field, attribute.flag);
        continue;
      }
      const std::string separator = rest.find(kListSeparator) == std::string_view::npos
                                        ? separators[a]
                                        : std::string(1, kListSeparator);
      while (!rest.empty()) {
        const size_t end = rest.find(separator);
        const std::string name = clean_title(rest.substr(0, end));
        if (!name.empty() && name != "(no genres listed)") {
          builder_.add_attribute(attribute.field, name);
        }
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + separator.size());
      }
    }
  }

  void read_interactions() {
    FileReport& file = report_.log;
    file.table = plan_.log;
    std::vector<int32_t> columns = {plan_.user, plan_.item, plan_.time};
    const auto& names = file.table.columns;
    file.columns = {
        {"user", names[plan_.user]}, {"item", names[plan_.item]}, {"time", names[plan_.time]}};
    if (plan_.rating >= 0) {
      columns.push_back(plan_.rating);
      file.columns["rating"] = names[plan_.rating];
    }
    read_table(
        file.table, columns,
        [&](int64_t line, std::span<const std::string_view> values) {
          if (is_blank(values)) {
            ++file.blank;
            return;
          }
          ++file.rows;
          std::string problem = add_interaction(values);
          if (!problem.empty()) reject(file, line, std::move(problem), joined(values));
        },
        [&](int64_t line, const std::string& reason, std::string_view text) {
          ++file.rows;
          reject(file, line, reason, text);
        });
  }

  // Empty when the row was taken.
  std::string add_interaction(std::span<const std::string_view> values) {
    const std::string_view user = trim(values[0]), item = trim(values[1]);
    if (auto problem = id_problem(user, "user"); !problem.empty()) return problem;
    if (auto problem = id_problem(item, "item"); !problem.empty()) return problem;
    const auto raw_time = time_.parse(trim(values[2]));
    if (!raw_time) return "bad time";
    if (plan_.rating >= 0) {
      const auto rating = parse_rating(trim(values[3]));
      if (!rating) return "bad rating";
      builder_.add_rating(*rating);
    }
    builder_.add_interaction(user, item, *raw_time);
    return {};
  }

  void check_strict() const {
    if (report_.rejected.empty()) return;
    const RejectedRow& first = report_.rejected[0];
    fail(ExitCode::kInput, "{}:{}: {} ({} bad rows in all, and --strict is on): {}", first.file,
         first.line, first.reason, report_.rejected.size(), first.text);
  }

  const LogPlan& plan_;
  const ReaderOptions& options_;
  LogBuilder builder_;
  TimeColumn time_;
  ReadReport report_;
};

}  // namespace

ReadResult read_log(const std::filesystem::path& path, const ReaderOptions& options) {
  const LogPlan plan = plan_log(path, options);
  return LogReader(plan, options).read();
}

std::string rejected_tsv(const std::vector<RejectedRow>& rejected) {
  std::string out = "file\tline\treason\ttext\n";
  for (const RejectedRow& row : rejected) {
    out += fmt::format("{}\t{}\t{}\t{}\n", clean_title(row.file), row.line, clean_title(row.reason),
                       clean_title(row.text));
  }
  return out;
}

}  // namespace etrlrec
