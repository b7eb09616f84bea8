// GPT-2's printable stand-ins for bytes, in which tokenizer.json spells byte-level tokens.
#pragma once

#include <string>
#include <string_view>

namespace etrlrec {

std::string bytes_to_visible(std::string_view bytes);
// False: a character outside the alphabet.
bool visible_to_bytes(std::string_view visible, std::string& bytes);

}  // namespace etrlrec
