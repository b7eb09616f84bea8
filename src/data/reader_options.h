// What a reader of logs may be told, and what it reports about what it read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/table.h"
#include "data/time_column.h"

namespace etrlrec {

struct ReaderOptions {
  std::string format = "auto";  // or movielens, recbole, mind, table
  std::map<std::string, std::string>
      map;  // "user" "item" "time" "rating" -> column; absent: guessed, and said
  std::filesystem::path items;  // catalogue file; empty: the sibling the format knows, if any
  std::string item_column;      // id column of the catalogue; empty: as in the log, or guessed
  std::string title;            // title column; empty: guessed
  std::vector<std::string> attributes;  // attribute columns; each becomes a field of that name
  std::string attribute_separator;      // empty: as the cells look
  TableOptions log_table, item_table;
  TimeOptions time;
  // Words that stand for nothing, whatever their case: no id, no title, no attribute.
  std::vector<std::string> missing_words = {"nan", "null", "none", "\\n", "n/a",
                                            "na",  "#n/a", "<na>", "nat"};
  bool need_rating = false;      // rows without a rating are bad, also where its column was guessed
  bool keep_duplicates = false;  // exact repeats of user, item and time are dropped and counted
  bool strict = false;
  int32_t threads = 0;  // 0: as many as the machine has; the result does not depend on it,
  int64_t block_bytes = 1 << 22;  // nor on what a thread takes at a time
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
  std::string encoding = "UTF-8";              // of the values
  int64_t rows = 0, rejected = 0;
  int64_t blank = 0;  // empty lines and rows whose mapped values are all empty
};

struct ReadReport {
  std::string format;  // "movielens u.data", "recbole", "table" ...
  FileReport log;      // of several files: their rows together, the first file's table
  std::optional<FileReport> items;
  std::string time_unit;              // "seconds", "milliseconds", ..., "ISO-8601"
  bool order_only = false;            // there are no times, only the order of the file
  std::vector<std::string> warnings;  // what a careful colleague would notice, as sentences
  std::vector<RejectedRow> rejected;
  int64_t duplicates = 0;         // exact repeats
  int64_t ties = 0;               // neighbouring events of one user at one time
  std::vector<int32_t> untitled;  // items whose title is missing: their id is shown
  int64_t duplicate_titles = 0;   // items that share a normalised title with an earlier one
};

}  // namespace etrlrec
