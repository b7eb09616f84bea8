// The words by which texts name attributes, quarters of the year and titles. Attributes and
// quarters are one word each, without blanks, so that a claim's arguments and a prompt's entries
// can be read back without quoting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/dataset.h"

namespace etrlrec {

// The attribute's name with every byte that is no letter, digit, '-', '_', apostrophe or part of a
// UTF-8 sequence written as '-'. A word that an attribute with a smaller id has already gets "#id"
// after it: "dark", "dark#17". Never empty, at most kMaxWordBytes long.
std::string attribute_word(const Catalogue& catalogue, int32_t attribute);
// The word by which candidates are looked up: the attribute's word in capitals, so that it is
// nowhere but before candidate numbers and one attention step finds it. The plain word where the
// capitals would name another attribute.
std::string key_word(const Catalogue& catalogue, int32_t attribute);
// The attribute of a word or key word, -1 when there is none. Linear in the number of attributes,
// without allocation for most.
int32_t find_attribute(const Catalogue& catalogue, std::string_view word);
inline constexpr size_t kMaxWordBytes = 64;

// Quarter of the year in UTC, 0: January to March. Errors (kInput): outside of the years 1 to 9999.
int32_t season_index(int64_t time);
const char* season_word(int32_t season);  // "winter" "spring" "summer" "autumn"
int32_t find_season(std::string_view word);

// At most 96 bytes of valid UTF-8 in one line without '<' '>' '(' ')' ';', which become '[' ']' '['
// ']' ','. Bytes that are no UTF-8 become '?'. '&' is kept: nothing here reads entities.
std::string escape_title(std::string_view title);
// The same without any of these changes but ';', which becomes ',', and '"', which becomes "'": a
// title as plain English writes it between double quotes.
std::string plain_title(std::string_view title);

// First attribute of the item that belongs to `field`, -1 when it has none.
int32_t lead_attribute(const Catalogue& catalogue, int32_t item, int32_t field);
bool has_attribute(const Catalogue& catalogue, int32_t item, int32_t attribute);
// The field whose attributes the transition and the long-term taste speak of is 0; the one of
// season and recent taste is 1 where the catalogue has two fields or more, else 0.
int32_t season_field(const Catalogue& catalogue);

}  // namespace etrlrec
