// Pieces of the report page that live in files of their own; for report.cc only.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "eval/report.h"

namespace etrlrec {

std::string_view report_style();  // the whole CSS
std::string render_examples(std::span<const ReportExample> examples);
// Reasoning as HTML with every claim marked by its verdict.
std::string render_reasoning(const ReportExample& example);

}  // namespace etrlrec
