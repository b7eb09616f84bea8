// What the first lines of a file say: kind, compression, delimiter, header and column names.
#pragma once

#include <filesystem>

#include "data/table.h"

namespace etrlrec {

// Reads the beginning of the file only. Errors (kInput): missing, empty, unreadable, no delimiter
// found.
TableInfo sniff_table(const std::filesystem::path& path, const TableOptions& options);

}  // namespace etrlrec
