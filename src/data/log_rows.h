// Rows of a log as interactions, a block at a time: ids, times and ratings of a row are checked
// here, whatever file they come from and whichever thread reads them. Internal to data/.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/cells.h"
#include "data/interner.h"
#include "data/log_columns.h"
#include "data/reader_options.h"
#include "data/time_column.h"

namespace etrlrec {

// Lines of successive interactions: `line` is that of interaction `index`, those behind it follow
// line by line.
struct LineRun {
  int64_t index = 0, line = 0;
};

// A block. Users and items are indices into the ids of the reader that read it.
struct LogRows {
  explicit LogRows(const TimeOptions& time) : times(time) {}

  std::vector<int32_t> users, items;
  std::vector<float> ratings;  // empty where the log has no such column
  TimeColumn times;
  std::vector<LineRun> lines;
  std::vector<RejectedRow> rejected;  // without the file
  int64_t rows = 0, blank = 0, missing_ratings = 0;
  int64_t unclicked = 0;  // rows of impressions without a click
  bool windows1252 = false;
  std::string first_bad_time;
};

// The ids that a reader has met, and where each was met first: the number of the block in the upper
// half, the interaction in the block in the lower one.
struct SeenIds {
  Interner ids;
  std::vector<int64_t> first;             // ascending
  std::vector<Interner::Short> expected;  // the last ids of the block, not looked up yet
};

class LogRowReader {
 public:
  LogRowReader(const LogPlan& plan, const ReaderOptions& options)
      : plan_(plan),
        options_(options),
        missing_(options.missing_words),
        time_options_(time_options_of(plan, options)),
        rows_(time_options_) {}

  // Of the columns of log_columns_of().
  void add_row(int64_t line, std::span<const std::string_view> values);
  void add_bad(int64_t line, const std::string& reason, std::string_view text);
  int64_t size() const { return static_cast<int64_t>(rows_.users.size()); }
  // A block begins; numbers ascend.
  void begin(int64_t block) { block_ = block; }
  LogRows take();  // what was added to the block

  const SeenIds& users() const { return users_; }
  const SeenIds& items() const { return items_; }

 private:
  void add_impressions(int64_t line, std::span<const std::string_view> values);
  void reject(int64_t line, const std::string& reason, std::string_view text);
  void note_line(int64_t line);  // of the interaction that was added
  std::string add_interaction(std::span<const std::string_view> values);
  std::string id_of(std::string_view cell, const char* what, std::string& buffer,
                    std::string_view& id);
  void push(std::string_view id, SeenIds& seen, std::vector<int32_t>& out);
  void look_up(SeenIds& seen, std::vector<int32_t>& out);

  const LogPlan& plan_;
  const ReaderOptions& options_;
  MissingWords missing_;
  TimeOptions time_options_;
  SeenIds users_, items_;
  LogRows rows_;
  int64_t block_ = 0;
};

// user, item, and time and rating where the plan has them: indices of the table's columns.
std::vector<int32_t> log_columns_of(const LogPlan& plan);

}  // namespace etrlrec
