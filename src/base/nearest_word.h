// What somebody probably meant: the known word nearest to one that is not known.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace etrlrec {

// Levenshtein's distance: bytes to insert, delete or replace.
size_t edit_distance(std::string_view a, std::string_view b);

// The first of the known words with the smallest distance to `word`, when that is below `limit`;
// else empty. ASCII letters count without their case.
std::string nearest_word(std::string_view word, std::span<const std::string> known, size_t limit);

// "; did you mean \"WORD\"?" for an unknown word with a known one near it, else empty.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace etrlrec
