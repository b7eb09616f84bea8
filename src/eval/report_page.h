// The report of a run as one self-contained HTML page: no scripts, no links to anything outside.
#pragma once

#include <filesystem>
#include <string>

#include "eval/report.h"

namespace etrlrec {

std::string render_report(const ReportData& data);
void write_report(const std::filesystem::path& path, const ReportData& data);

}  // namespace etrlrec
