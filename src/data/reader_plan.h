// Which files and columns make up a log, found out before any row is read. Logs are read through
// readers.h; `prepare` takes the names of the formats from here.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/reader_options.h"
#include "data/table.h"

namespace etrlrec {

// A column of a catalogue file that holds attributes: a list of names, or a flag (1: the item has
// `flag`).
struct AttributeColumn {
  int32_t column = 0;
  std::string field;
  std::string separator;  // of lists; empty: "|" if the column holds one, else ","
  std::string flag;
};

struct LogPlan {
  std::string format;
  TableInfo log;
  int32_t user = -1, item = -1, time = -1, rating = -1;
  std::optional<TableInfo> items;
  int32_t item_id = -1, title = -1;
  std::vector<AttributeColumn> attributes;
};

// "auto" and the names of the table of formats in reader_plan.cc. A new format is one function and
// one row there, and a test.
std::vector<std::string> log_formats();
// Errors: kInput where the path holds nothing of the format, kUsage for an unknown format or role.
LogPlan plan_log(const std::filesystem::path& path, const ReaderOptions& options);

}  // namespace etrlrec
