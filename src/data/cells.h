// What cells of a log and a catalogue may hold: ids, titles, ratings, and words that stand for
// nothing. Internal to data/.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

// Words by which data frames and databases write that a value is missing (nan, NULL, \N …).
class MissingWords {
 public:
  explicit MissingWords(const std::vector<std::string>& words);
  bool has(std::string_view text) const;  // whatever its case

 private:
  std::vector<std::string> words_;     // in lower case
  std::bitset<256> first_characters_;  // of the words, in either case
};

// Runs of control characters become one space, so that a title stays on its line.
std::string clean_title(std::string_view text);

// No value says anything.
bool is_blank(std::span<const std::string_view> values);

// Why the text cannot be the id of a `what` ("user"); empty when it can.
std::string id_problem(std::string_view id, const char* what, const MissingWords& missing);

// The number that 1 to `most` digits spell, at most 18; nothing for any other text.
std::optional<int64_t> parse_digits(std::string_view text, size_t most);
std::optional<float> parse_rating(std::string_view text);  // finite

// The names in a cell of attributes. `separator` stands between them, where it is empty: "|" or ","
// as `usual_separator` says. Without a separator a cell that spells a list ("['a', 'b']") is read
// as one.
std::vector<std::string> attribute_names(std::string_view cell, const std::string& separator,
                                         const std::string& usual_separator,
                                         const MissingWords& missing);

}  // namespace etrlrec
