// Cells of text from lines of JSON and of Python literals. Numbers keep their spelling whatever
// their length, but for whole numbers that were stored as decimals ("100000.0"), which are written
// as whole numbers.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

enum class ObjectSyntax { kJson, kPython };

// The object that the line holds, numbers as above; nothing where it is none.
std::optional<nlohmann::json> parse_object(std::string_view line, ObjectSyntax syntax);

// The value of a column: the key itself, else a path with dots ("details.Brand"); null where the
// object has none.
const nlohmann::json* find_cell(const nlohmann::json& object, const std::string& column);

// null: empty; lists of any depth: their leaves, joined by kListSeparator; an object in a list: the
// value of its "name" or "title", else its leaves; an object on its own: as JSON.
std::string cell_text(const nlohmann::json& value);

// Names in a cell that spells a list, as people store them in tables: ["a", "b"], ['a', 'b'],
// 'a', 'b', [{'id': 1, 'name': 'a'}]; nothing where the cell is none.
std::optional<std::vector<std::string>> listed_names(std::string_view cell);

// A decimal that is a whole number of less than 2^53, as one.
std::optional<std::string> whole_number(double value);

}  // namespace etrlrec
