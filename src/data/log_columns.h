// Which files and columns make up a log, and how columns are found by name. Internal to data/; the
// layouts (layout_*.h) make plans, reader_plan.h has the table of them.
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
  std::string separator;  // of lists, as the caller says; empty: as the cells look
  std::string usual;  // of cells that spell no list; empty: "|" if the column holds one, else ","
  std::string flag;
};

struct LogPlan {
  std::string format;
  std::vector<TableInfo> logs;  // one table, maybe in several files with the same columns
  int32_t user = -1, item = -1, rating = -1;
  int32_t time = -1;               // -1: the order of the file is all there is
  bool rating_mapped = false;      // asked for by name: rows without one are bad
  bool impressions = false;        // an item cell is a list "N1-0 N2-1": each -1 is an event
  std::string time_format;         // of strptime, where the layout fixes it; empty: found out
  std::vector<std::string> notes;  // what is left out of the files, as sentences
  std::optional<TableInfo> items;
  bool items_in_log = false;  // `items` is the log: ids repeat
  int32_t item_id = -1, title = -1;
  std::vector<AttributeColumn> attributes;
};

using Names = std::vector<std::string>;

// Names by which columns are known, in lower case, the likeliest first.
const Names& usual_user_names();
const Names& usual_item_names();
const Names& usual_time_names();
const Names& usual_title_names();

std::string listed(const Names& columns);
int32_t find_column(const Names& columns, const std::string& name);  // -1 if none
// The first of the usual names that is a column, whatever its case; -1 if none.
int32_t guessed_column(const TableInfo& table, const Names& usual);
// A column asked for by name; in files of objects also a path ("details.Brand"), which becomes a
// column. Error (kUsage) lists what there is and the nearest name.
int32_t named_column(TableInfo& table, const std::string& name, const std::string& option);

// What is known of the times: what the caller says, else what the layout does.
TimeOptions time_options_of(const LogPlan& plan, const ReaderOptions& options);

// Finds user, item, time and rating of plan.logs[0] as options.map says, else by name. Error
// (kUsage) for one that is needed and not there.
void find_log_columns(const ReaderOptions& options, LogPlan& plan);

// Names whose presence in the first line of a table makes it a header.
Names header_hints(const ReaderOptions& options);

// `name` inside `folder`, itself or compressed.
std::optional<std::filesystem::path> find_file(const std::filesystem::path& folder,
                                               const std::string& name);
// The name of a file without a suffix of compression.
std::string plain_name(const std::filesystem::path& path);

}  // namespace etrlrec
