// Small functions on strings: trimming and lower case. Only ASCII letters have a case here.
#pragma once

#include <string>
#include <string_view>

namespace etrlrec {

// Without the characters of `blanks` at both ends.
std::string_view trim(std::string_view text, std::string_view blanks = " \t\n\v\f\r");
std::string ascii_lower(std::string_view text);
std::string ascii_capitalized(std::string_view text);  // the first letter

}  // namespace etrlrec
