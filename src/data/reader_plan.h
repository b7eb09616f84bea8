// The layouts of logs as one table: which files and columns make up a log is found out before any
// row is read. Logs are read through readers.h; `prepare` takes the names of the formats from here.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/log_columns.h"
#include "data/reader_options.h"

namespace etrlrec {

// "auto" and the names of the table of formats in reader_plan.cc. A new format is one unit
// layout_*, one row there, and a test.
std::vector<std::string> log_formats();
// Errors: kInput where the path holds nothing of the format, kUsage for an unknown format or role.
LogPlan plan_log(const std::filesystem::path& path, const ReaderOptions& options);

}  // namespace etrlrec
