// From files as people have them to a Dataset: MovieLens folders, RecBole atomic files, and any
// table with a user, an item and a time column. Ids stay strings. A row that cannot be used is
// never dropped in silence: it goes to the rejected list with file, line and reason, or stops the
// reading with `strict`.
//
// Times: integers or decimals (seconds, milli-, micro- or nanoseconds since 1970, told apart by the
// magnitude of the median) or ISO-8601 dates; the first good value decides which. Events of a user
// are sorted by the full resolution of the source, ties keep the order of the input, then times
// become whole seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/table.h"

namespace etrlrec {

enum class LogFormat { kAuto, kMovieLens, kRecBole, kTable };

struct ReaderOptions {
  LogFormat format = LogFormat::kAuto;
  std::map<std::string, std::string>
      map;  // "user" "item" "time" "rating" -> column; absent: guessed, and said
  std::filesystem::path items;  // catalogue file; empty: the sibling the format knows, if any
  std::string item_column;      // id column of the catalogue; empty: as in the log, or guessed
  std::string title;            // title column; empty: guessed
  std::vector<std::string> attributes;  // attribute columns; each becomes a field of that name
  std::string attribute_separator;      // empty: "|" if the column holds one, else ","
  TableOptions log_table, item_table;
  bool keep_duplicates = false;  // exact repeats of user, item and time are dropped and counted
  bool strict = false;
};

struct RejectedRow {
  std::string file;
  int64_t line = 0;
  std::string reason, text;  // the first 200 bytes of the row or of its mapped values
};

// What was understood of one file.
struct FileReport {
  TableInfo table;
  std::map<std::string, std::string> columns;  // role -> column name
  std::string encoding = "UTF-8";
  int64_t rows = 0, rejected = 0;
  int64_t blank = 0;  // empty lines and rows whose mapped values are all empty
};

struct ReadReport {
  std::string format;  // "movielens u.data", "recbole", "table" ...
  FileReport log;
  std::optional<FileReport> items;
  std::string time_unit;  // "seconds", "milliseconds", ..., "ISO-8601"
  std::vector<RejectedRow> rejected;
  int64_t duplicates = 0;         // exact repeats
  int64_t ties = 0;               // neighbouring events of one user at one time
  std::vector<int32_t> untitled;  // items whose title is missing: their id stands in
  int64_t duplicate_titles = 0;   // items that share a normalised title with an earlier one
};

struct ReadResult {
  Dataset dataset;
  ReadReport report;
};

// `path`: a file, or a folder in one of the known layouts. Errors: kInput, kUsage for a column that
// is not there (with the columns there are and the nearest name).
ReadResult read_log(const std::filesystem::path& path, const ReaderOptions& options);

// file, line, reason, text, tab separated, with a header line; tabs and line breaks inside become
// spaces.
std::string rejected_tsv(const std::vector<RejectedRow>& rejected);

// ISO-8601: 2024-05-01, optionally T or space and 12:30[:15[.25]], optionally Z or an offset;
// seconds since 1970.
std::optional<double> parse_iso_time(std::string_view text);
std::string format_iso_time(int64_t seconds);  // 2024-05-01T12:30:15Z
LogFormat log_format(
    const std::string& name);  // auto | movielens | recbole | table; kUsage for another

}  // namespace etrlrec
