// Carries out a plan (data/reader_plan.h): the catalogue first, so that its order numbers the
// items, then the log in one pass; what its times mean is decided behind the last row.
#include "data/readers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>

#include "base/check.h"
#include "data/catalogue_reader.h"
#include "data/cells.h"
#include "data/log_builder.h"
#include "data/log_rows.h"
#include "data/reader_plan.h"
#include "data/table_stream.h"
#include "data/thread_group.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kRejectedText = 200;

class LogReader {
 public:
  LogReader(const LogPlan& plan, const ReaderOptions& options)
      : plan_(plan),
        options_(options),
        threads_(thread_count(options.threads)),
        time_(time_options_of(plan, options)) {}

  ReadResult read() {
    ReadResult result;
    report_.format = plan_.format;
    if (plan_.items) read_catalogue(plan_, options_, builder_, report_);
    read_interactions();
    const std::vector<int64_t> dropped = resolve_times();
    resolve_ratings();
    if (options_.strict) check_strict();
    check_any(time_.size() - std::ssize(dropped));
    result.dataset =
        builder_.finish(time_.take_seconds(), dropped, options_.keep_duplicates, threads_, report_);
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

  void read_interactions() {
    FileReport& file = report_.log;
    file.table = plan_.logs[0];
    const auto& names = file.table.columns;
    file.columns = {{"user", names[static_cast<size_t>(plan_.user)]},
                    {"item", names[static_cast<size_t>(plan_.item)]}};
    for (const auto& [role, column] :
         {std::pair{"time", plan_.time}, std::pair{"rating", plan_.rating}}) {
      if (column >= 0) file.columns[role] = names[static_cast<size_t>(column)];
    }
    std::deque<LogRowReader> readers;
    std::vector<const LogRowReader*> pointers;
    for (int32_t t = 0; t < threads_; ++t)
      pointers.push_back(&readers.emplace_back(plan_, options_));
    int64_t block = 0;
    for (const TableInfo& table : plan_.logs) {
      file_name_ = table.path.filename().string();
      block = read_file(table, readers, block);
    }
    builder_.take_ids(pointers);
    report_.warnings.insert(report_.warnings.end(), plan_.notes.begin(), plan_.notes.end());
    if (unclicked_ > 0)
      report_.warnings.push_back(fmt::format("{} of {} rows of impressions have no click: no event",
                                             unclicked_, file.rows));
  }

  // Blocks are added in the order of the file, whichever thread is done first.
  int64_t read_file(const TableInfo& table, std::deque<LogRowReader>& readers, int64_t block) {
    std::mutex mutex;
    std::map<int64_t, std::pair<LogRows, int32_t>> waiting;
    int64_t next = block;
    std::vector<BlockCalls> calls;
    for (int32_t t = 0; t < threads_; ++t) {
      LogRowReader& reader = readers[static_cast<size_t>(t)];
      const auto end = [&, t](int64_t number) {
        LogRows rows = reader.take();
        const std::lock_guard lock(mutex);
        waiting.emplace(number, std::pair(std::move(rows), t));
        for (auto first = waiting.begin(); first != waiting.end() && first->first == next;
             first = waiting.erase(first), ++next)
          add_rows(first->second.first, first->second.second);
      };
      calls.push_back({[&](int64_t number) { reader.begin(number); }, end,
                       [&](int64_t line, std::span<const std::string_view> values) {
                         reader.add_row(line, values);
                       },
                       [&](int64_t line, const std::string& reason, std::string_view text) {
                         reader.add_bad(line, reason, text);
                       }});
    }
    block = read_table_blocks(table, log_columns_of(plan_), calls, block, options_.block_bytes);
    files_.push_back({time_.size(), file_name_});
    return block;
  }

  void add_rows(LogRows& rows, int32_t reader) {
    for (const LineRun& run : rows.lines) lines_.push_back({time_.size() + run.index, run.line});
    builder_.add_rows(rows, reader);
    time_.append(rows.times);
    FileReport& file = report_.log;
    file.rows += rows.rows;
    file.blank += rows.blank;
    file.rejected += std::ssize(rows.rejected);
    for (RejectedRow& row : rows.rejected) {
      row.file = file_name_;
      report_.rejected.push_back(std::move(row));
    }
    if (rows.windows1252) file.encoding = "Windows-1252";
    missing_ratings_ += rows.missing_ratings;
    unclicked_ += rows.unclicked;
    if (first_bad_time_.empty()) first_bad_time_ = std::move(rows.first_bad_time);
  }

  int64_t line_of(int64_t interaction) const {
    const auto run = std::prev(
        std::upper_bound(lines_.begin(), lines_.end(), interaction,
                         [](int64_t i, const LineRun& other) { return i < other.index; }));
    return run->line + interaction - run->index;
  }

  // Interactions whose times do not go with the others are rejected.
  std::vector<int64_t> resolve_times() {
    const auto rejected = time_.resolve();
    std::vector<int64_t> dropped;
    for (const auto& value : rejected) dropped.push_back(value.index);
    const auto texts = builder_.shown(dropped);
    for (size_t i = 0; i < rejected.size(); ++i) {
      const auto file = std::find_if(files_.begin(), files_.end(), [&](const auto& entry) {
        return rejected[i].index < entry.first;
      });
      file_name_ = file->second;
      reject(line_of(rejected[i].index), rejected[i].reason, texts[i]);
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
        missing_ratings_, time_.size()));
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
  int32_t threads_;
  LogBuilder builder_;
  TimeColumn time_;
  ReadReport report_;
  std::string file_name_;  // that is read
  std::vector<LineRun> lines_;
  std::vector<std::pair<int64_t, std::string>> files_;  // interactions up to its end, name
  std::string first_bad_time_;
  int64_t missing_ratings_ = 0, unclicked_ = 0;
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
