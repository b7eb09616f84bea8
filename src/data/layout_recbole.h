// RecBole's atomic files: *.inter and *.item, whose header names each column and its type
// (name:type); also compressed, with other delimiters, and split beforehand (x.train.inter,
// x.valid.inter, x.test.inter), which are read as one log. Internal to data/.
#pragma once

#include <filesystem>
#include <optional>

#include "data/log_columns.h"

namespace etrlrec {

// Nothing where the path holds none. Errors: kInput for a header without types, several logs;
// kUsage for a column that is not there.
std::optional<LogPlan> plan_recbole(const std::filesystem::path& path,
                                    const ReaderOptions& options);

}  // namespace etrlrec
