// Upper and lower case as Python's str has them: full mappings of Unicode (one letter may become
// several), the final sigma, title case by words; and which characters repr() prints as they are.
// Internal to text/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace etrlrec {

std::string upper_case(std::string_view text);
std::string lower_case(std::string_view text);
std::string title_case(std::string_view text);       // str.title: letters after a letter are lower
std::string capitalize_case(std::string_view text);  // str.capitalize
// str.isupper, str.islower: there is a letter with case, and none of the other case.
bool is_upper_case(std::string_view text);
bool is_lower_case(std::string_view text);

// The character at the start of `text`; -1 for a byte that is no UTF-8.
int32_t code_point_at(std::string_view text);
bool is_printable(int32_t code_point);       // str.isprintable
bool is_word_character(int32_t code_point);  // \w of Python's re

}  // namespace etrlrec
