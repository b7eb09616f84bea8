// UTF-8: lengths of characters, validity, counting and cutting, on utf8proc. Well-formed means no
// overlong forms, no surrogates and nothing beyond U+10FFFF. All functions take any bytes; a byte
// that belongs to no well-formed character is handled on its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace etrlrec {

// Bytes of the well-formed character at the start of `text`: 1 to 4, 0 where there is none.
size_t utf8_length(std::string_view text);
// Length of the longest prefix that is well-formed.
size_t valid_utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

// Number of characters: of bytes that are no continuation bytes.
size_t code_points(std::string_view text);
std::string_view first_code_points(std::string_view text, size_t count);
// The longest prefix of at most max_bytes that does not end inside a character.
std::string_view cut_utf8(std::string_view text, size_t max_bytes);

// Appends the character; false, and nothing appended, for a surrogate or beyond U+10FFFF.
bool append_code_point(uint32_t code_point, std::string& out);

// Bytes as Windows writes western texts: ISO-8859-1, but 0x80 to 0x9f are quotes, dashes and other
// marks (the five that Windows leaves free stay control characters, as browsers read them).
std::string windows1252_to_utf8(std::string_view text);
// The text itself where it is UTF-8, else its bytes read as Windows-1252.
std::string to_utf8(std::string_view text);

}  // namespace etrlrec
