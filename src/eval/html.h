// Building blocks of the HTML and SVG writers: escaping and formatted appending.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace etrlrec {

// Safe as HTML text and as a quoted attribute value. Bytes that are no UTF-8 and control characters
// become U+FFFD.
std::string escape_html(std::string_view text);

template <typename... Args>
void append(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

}  // namespace etrlrec
