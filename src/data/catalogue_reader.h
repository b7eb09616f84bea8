// Reads the catalogue of a plan (data/log_columns.h): titles and attributes of items, from a file
// of its own or from the log itself. Internal to data/; others use readers.h.
#pragma once

#include "data/log_builder.h"
#include "data/log_columns.h"
#include "data/reader_options.h"

namespace etrlrec {

// Adds the items to the builder and says in report.items, report.rejected and report.warnings what
// was found. Text that is not UTF-8 is read as Windows-1252, the whole file.
void read_catalogue(const LogPlan& plan, const ReaderOptions& options, LogBuilder& builder,
                    ReadReport& report);

}  // namespace etrlrec
