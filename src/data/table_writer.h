// A table of results for other programs: CSV, JSON Lines or Parquet, by the ending of the file's
// name. The file appears complete or not at all.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "data/table_output.h"

namespace etrlrec {

// Error (kUsage) for a name that does not end in .csv, .jsonl or .parquet.
void check_table_name(const std::filesystem::path& path);
// CSV as in RFC 4180, but with line feeds alone, under a line of names; JSON Lines with an object a
// row; Parquet with one field for each column. Errors: kUsage for the name, kFailure where the file
// cannot be written.
std::unique_ptr<TableWriter> new_table_writer(const std::filesystem::path& path,
                                              std::vector<OutputColumn> columns);

}  // namespace etrlrec
