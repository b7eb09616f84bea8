// The CSS of the report: paper and ink in light mode, the same page by night in dark mode, plain
// enough to print.
#pragma once

#include <string_view>

namespace etrlrec {

std::string_view report_style();

}  // namespace etrlrec
