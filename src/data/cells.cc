#include "data/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"
#include "data/json_cells.h"
#include "data/table.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

}  // namespace

MissingWords::MissingWords(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    words_.push_back(ascii_lower(word));
    if (word.empty()) continue;
    for (const std::string& first : {words_.back(), ascii_capitalized(words_.back())})
      first_characters_.set(static_cast<unsigned char>(first.front()));
  }
}

bool MissingWords::has(std::string_view text) const {
  const size_t longest = 16;  // most texts are longer than any of the words
  if (text.empty() || text.size() > longest) return false;
  if (!first_characters_[static_cast<unsigned char>(text.front())]) return false;
  return std::find(words_.begin(), words_.end(), ascii_lower(text)) != words_.end();
}

std::string clean_title(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) {
    if (!is_control(c)) {
      out += c;
    } else if (!out.ends_with(' ')) {
      out += ' ';
    }
  }
  return out;
}

bool is_blank(std::span<const std::string_view> values) {
  return std::all_of(values.begin(), values.end(),
                     [](std::string_view value) { return trim(value).empty(); });
}

std::string id_problem(std::string_view id, const char* what, const MissingWords& missing) {
  if (id.empty()) return fmt::format("empty {} id", what);
  if (missing.has(id)) return fmt::format("{} id \"{}\" means missing", what, id);
  if (!is_utf8(id)) return fmt::format("{} id is not UTF-8", what);
  if (std::any_of(id.begin(), id.end(), is_control))
    return fmt::format("{} id holds a control character", what);
  return {};
}

std::optional<int64_t> parse_digits(std::string_view text, size_t most) {
  if (text.empty() || text.size() > most) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  return value;
}

std::optional<float> parse_rating(std::string_view text) {
  constexpr size_t kExactDigits = 7;
  if (const auto number = parse_digits(text, kExactDigits)) return static_cast<float>(*number);
  float value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::vector<std::string> attribute_names(std::string_view cell, const std::string& separator,
                                         const std::string& usual_separator,
                                         const MissingWords& missing) {
  constexpr std::string_view kQuotes = "'\"[] ";
  std::vector<std::string> names;
  const bool list = cell.find(kListSeparator) != std::string_view::npos;
  const auto spelled = list || !separator.empty() ? std::nullopt : listed_names(cell);
  if (spelled) {
    names = *spelled;
  } else {
    const std::string bar(1, kListSeparator);
    names = split(cell, list ? bar : separator.empty() ? usual_separator : separator);
    // A separator with a quote in it is what stands between quoted names.
    if (separator.find_first_of("'\"") != std::string::npos)
      for (std::string& name : names) name = std::string(trim(name, kQuotes));
  }
  for (std::string& name : names) name = clean_title(name);
  std::erase_if(names, [&](const std::string& name) {
    return name.empty() || name == "(no genres listed)" || missing.has(name);
  });
  return names;
}

}  // namespace etrlrec
