// The layout of the MIND news data set: behaviors.tsv, whose clicked impressions are the events,
// and news.tsv. Histories have no times, and what was shown and not clicked is no event: both are
// left out. Internal to data/.
#pragma once

#include <filesystem>
#include <optional>

#include "data/log_columns.h"

namespace etrlrec {

// Nothing where the path holds none. Errors: kInput for files of these names with other columns,
// kUsage for --title and --attributes.
std::optional<LogPlan> plan_mind(const std::filesystem::path& path, const ReaderOptions& options);

}  // namespace etrlrec
