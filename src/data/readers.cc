// Carries out a plan (data/reader_plan.h): the catalogue first, so that its order numbers the
// items, then the log in one pass; what its times mean is decided behind the last row.
#include "data/readers.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"
#include "data/catalogue_reader.h"
#include "data/cells.h"
#include "data/log_builder.h"
#include "data/reader_plan.h"
#include "data/table_stream.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kRejectedText = 200;

class LogReader {
 public:
  LogReader(const LogPlan& plan, const ReaderOptions& options)
      : plan_(plan), options_(options), missing_(options.missing_words), time_(options.time) {}

  ReadResult read() {
    ReadResult result;
    report_.format = plan_.format;
    if (plan_.items) read_catalogue(plan_, options_, builder_, report_);
    read_interactions();
    const std::vector<int64_t> dropped = resolve_times();
    resolve_ratings();
    if (options_.strict) check_strict();
    check_any(static_cast<int64_t>(lines_.size()) - std::ssize(dropped));
    result.dataset =
        builder_.finish(time_.take_seconds(), dropped, options_.keep_duplicates, report_);
    result.report = std::move(report_);
    return result;
  }

 private:
  void reject(int64_t line, std::string reason, std::string_view text) {
    FileReport& file = report_.log;
    ++file.rejected;
    report_.rejected.push_back(
        {file_name_, line, std::move(reason), to_utf8(text.substr(0, kRejectedText))});
  }

  static std::string joined(std::span<const std::string_view> values) {
    return fmt::format("{}", fmt::join(values, " | "));
  }

  void read_interactions() {
    FileReport& file = report_.log;
    file.table = plan_.logs[0];
    const auto& names = file.table.columns;
    std::vector<int32_t> columns = {plan_.user, plan_.item};
    file.columns = {{"user", names[static_cast<size_t>(plan_.user)]},
                    {"item", names[static_cast<size_t>(plan_.item)]}};
    for (const auto& [role, column] :
         {std::pair{"time", plan_.time}, std::pair{"rating", plan_.rating}}) {
      if (column < 0) continue;
      columns.push_back(column);
      file.columns[role] = names[static_cast<size_t>(column)];
    }
    for (const TableInfo& table : plan_.logs) {
      file_name_ = table.path.filename().string();
      read_table(
          table, columns,
          [&](int64_t line, std::span<const std::string_view> values) { add_row(line, values); },
          [&](int64_t line, const std::string& reason, std::string_view text) {
            ++file.rows;
            reject(line, reason, text);
          });
      files_.push_back({std::ssize(lines_), file_name_});
    }
  }

  void add_row(int64_t line, std::span<const std::string_view> values) {
    if (is_blank(values)) {
      ++report_.log.blank;
      return;
    }
    ++report_.log.rows;
    std::string problem = add_interaction(values);
    if (problem.empty()) {
      lines_.push_back(line);
    } else {
      reject(line, std::move(problem), joined(values));
    }
  }

  // The id as it is kept: text that is not UTF-8 is read as Windows-1252.
  std::string_view id_text(std::string_view cell, std::string& buffer) {
    const std::string_view id = trim(cell);
    if (is_utf8(id)) return id;
    report_.log.encoding = "Windows-1252";
    buffer = windows1252_to_utf8(id);
    return buffer;
  }

  // Empty when the row was taken.
  std::string add_interaction(std::span<const std::string_view> values) {
    std::string user_buffer, item_buffer;
    const std::string_view user = id_text(values[0], user_buffer);
    const std::string_view item = id_text(values[1], item_buffer);
    if (auto problem = id_problem(user, "user", missing_); !problem.empty()) return problem;
    if (auto problem = id_problem(item, "item", missing_); !problem.empty()) return problem;
    size_t column = 2;
    std::optional<float> rating;
    const std::string_view time = plan_.time >= 0 ? trim(values[column++]) : "";
    if (plan_.rating >= 0) {
      rating = parse_rating(trim(values[column]));
      if (!rating && (plan_.rating_mapped || options_.need_rating)) return "bad rating";
      missing_ratings_ += !rating;
    }
    if (plan_.time < 0) {
      time_.add_order();
    } else if (time.empty() || missing_.has(time)) {
      return "no time";
    } else if (!time_.add(time)) {
      if (first_bad_time_.empty()) first_bad_time_ = time;
      return "bad time";
    }
    if (plan_.rating >= 0) builder_.add_rating(rating.value_or(0));
    builder_.add_interaction(user, item);
    return {};
  }

  // Interactions whose times do not go with the others are rejected.
  std::vector<int64_t> resolve_times() {
    const auto rejected = time_.resolve();
    std::vector<int64_t> dropped;
    for (const auto& value : rejected) dropped.push_back(value.index);
    const auto texts = builder_.shown(dropped);
    for (size_t i = 0; i < rejected.size(); ++i) {
      const auto index = static_cast<size_t>(rejected[i].index);
      const auto file = std::find_if(files_.begin(), files_.end(), [&](const auto& entry) {
        return rejected[i].index < entry.first;
      });
      file_name_ = file->second;
      reject(lines_[index], rejected[i].reason, texts[i]);
    }
    report_.time_unit = time_.unit();
    report_.order_only = plan_.time < 0;
    const auto& warnings = time_.warnings();
    report_.warnings.insert(report_.warnings.end(), warnings.begin(), warnings.end());
    return dropped;
  }

  void resolve_ratings() {
    if (missing_ratings_ == 0) return;
    builder_.drop_ratings();
    report_.warnings.push_back(fmt::format(
        "{} of {} events have no rating: ratings are left out (--map rating=COLUMN rejects such "
        "events instead)",
        missing_ratings_, lines_.size()));
  }

  void check_any(int64_t kept) const {
    if (kept > 0) return;
    std::string hint;
    if (!first_bad_time_.empty())
      hint = fmt::format(
          "\nhint: the first time is \"{}\"; read are numbers and dates such as {}; --time-format "
          "(strptime) states another form",
          first_bad_time_, fmt::join(time_form_names(), ", "));
    fail(ExitCode::kInput,
         "{}: expected interactions, found none that can be used ({} rejected{}){}",
         plan_.logs[0].path.string(), report_.rejected.size(),
         report_.rejected.empty() ? "" : ", first: " + report_.rejected[0].reason, hint);
  }

  void check_strict() const {
    if (report_.rejected.empty()) return;
    const RejectedRow& first = report_.rejected[0];
    fail(ExitCode::kInput, "{}:{}: {} ({} bad rows in all, and --strict is on): {}", first.file,
         first.line, first.reason, report_.rejected.size(), first.text);
  }

  const LogPlan& plan_;
  const ReaderOptions& options_;
  MissingWords missing_;
  LogBuilder builder_;
  TimeColumn time_;
  ReadReport report_;
  std::string file_name_;                               // that is read
  std::vector<int64_t> lines_;                          // of each interaction
  std::vector<std::pair<int64_t, std::string>> files_;  // interactions up to its end, name
  std::string first_bad_time_;
  int64_t missing_ratings_ = 0;
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
