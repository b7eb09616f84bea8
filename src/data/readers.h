// From files as people have them to a data set: MovieLens and MIND folders, RecBole atomic files,
// any table with a user, an item and a time column; kFormats in reader_plan.cc is the table of the
// layouts. Ids stay strings. A row that cannot be used is never dropped in silence: it goes to the
// rejected list with file, line and reason, or stops the reading with `strict`.
//
// Times: integers or decimals (seconds, milli-, micro- or nanoseconds since 1970, told apart by the
// magnitude of the median) or ISO-8601 dates; the first good value decides which. Events of a user
// are sorted by the full resolution of the source, ties keep the order of the input, then times
// become whole seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/reader_options.h"

namespace etrlrec {

struct ReadResult {
  Dataset dataset;
  ReadReport report;
};

// `path`: a file, or a folder in one of the known layouts. Errors: kInput, kUsage for a column that
// is not there (with the columns there are and the nearest name).
ReadResult read_log(const std::filesystem::path& path, const ReaderOptions& options);

// file, line, reason, text, tab separated, with a header line; tabs and line breaks inside become
// spaces.
std::string rejected_tsv(const std::vector<RejectedRow>& rejected);

}  // namespace etrlrec
