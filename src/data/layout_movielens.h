// The layouts of the MovieLens data sets: u.data + u.item, ratings.csv + movies.csv, ratings.dat +
// movies.dat. Internal to data/.
#pragma once

#include <filesystem>
#include <optional>

#include "data/log_columns.h"

namespace etrlrec {

// Nothing where the path holds none. The columns of the CSV files may have other names and another
// order. Errors: kInput for files of these names with other columns, kUsage for --title and
// --attributes.
std::optional<LogPlan> plan_movielens(const std::filesystem::path& path,
                                      const ReaderOptions& options);

}  // namespace etrlrec
