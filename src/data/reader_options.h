// What a reader of logs may be told, and what it reports about what it read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/table.h"

namespace etrlrec {

struct ReaderOptions {
  std::string format = "auto";  // or movielens, recbole, table
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
  std::vector<int32_t> untitled;  // items whose title is missing: their id is shown
  int64_t duplicate_titles = 0;   // items that share a normalised title with an earlier one
};

}  // namespace etrlrec
