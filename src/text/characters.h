// Classes of characters and the code points of a text, as the steps of tokenizers ask for them.
// Internal to text/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace etrlrec {

struct Character {
  char32_t point = 0;
  size_t length = 0;  // bytes
};
// The character that begins at `at`, which is inside of `text`; a byte that belongs to none is
// U+FFFD of length 1.
Character character_at(std::string_view text, size_t at);
// Bytes that belong to no character are left out.
std::u32string code_points_of(std::string_view text);
std::string utf8_of(std::u32string_view text);

bool is_white_space(char32_t c);            // Unicode White_Space
bool is_control_or_unassigned(char32_t c);  // Cc, Cf, Cs, Co, Cn
bool is_punctuation(char32_t c);            // ASCII punctuation and symbols, or P of any script
bool is_numeric(char32_t c);                // Nd, Nl, No
bool is_mark(char32_t c);                   // Mn, Mc, Me
bool is_nonspacing_mark(char32_t c);
bool is_word_character(char32_t c);  // Alphabetic, M, Nd, Pc or Join_Control
bool is_chinese(char32_t c);         // CJK ideographs that BERT puts spaces around
void append_lower_case(char32_t c, std::u32string& out);  // one or two characters

}  // namespace etrlrec
