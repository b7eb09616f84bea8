// A log in any table whose columns are mapped by the caller or guessed by name, with a catalogue in
// another table, or in the same one. Internal to data/.
#pragma once

#include <filesystem>
#include <optional>

#include "data/log_columns.h"

namespace etrlrec {

// Nothing for a folder. Errors (kUsage): a column that is needed and not there.
std::optional<LogPlan> plan_table(const std::filesystem::path& path, const ReaderOptions& options);

}  // namespace etrlrec
