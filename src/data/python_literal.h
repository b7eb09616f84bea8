// Python literals, as repr() writes them, read as JSON: dicts, lists, tuples and sets (as lists),
// strings of every kind (u'…', "…", raw, triple quotes, escapes), numbers, True, False and None.
// Files such as the public Steam and Amazon 2014 dumps hold one per line, and cells of many CSV
// files hold lists written so.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

namespace etrlrec {

// The value of the whole text; nothing where it is no literal, is nested more than 64 deep, or has
// text behind it. Keys become text; integers too long for 64 bits and other numbers keep their
// spelling as text. Where a key occurs twice, the last counts. Linear in the text.
std::optional<nlohmann::json> parse_python_literal(std::string_view text);

}  // namespace etrlrec
