#include "temporal/names.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "data/calendar.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr int64_t kFirstTime = -62135596800, kLastTime = 253402300799;
constexpr size_t kMaxTitleBytes = 96;
constexpr std::array<const char*, 4> kSeasonWords{"winter", "spring", "summer", "autumn"};

char word_byte(char c) {
  const auto u = static_cast<unsigned char>(c);
  const bool kept = (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') ||
                    u == '-' || u == '_' || u == '\'' || u >= 0x80;
  return kept ? c : '-';
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string in_capitals(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(), upper);
  return word;
}

bool same_but_for_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return upper(word_byte(x)) == upper(word_byte(y));
         });
}

char escape_byte(char c) {
  switch (c) {
    case '<':
    case '(':
      return '[';
    case '>':
    case ')':
      return ']';
    case ';':
      return ',';
    default:
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
}

// Leaves room for "#" and an id after the longest plain word.
constexpr size_t kMaxPlainBytes = kMaxWordBytes - 12;

std::string_view cut(std::string_view name) { return cut_utf8(name, kMaxPlainBytes); }

bool written_equal(std::string_view name, std::string_view other) {
  name = cut(name), other = cut(other);
  if (name.empty()) name = "-";
  if (other.empty()) other = "-";
  return name.size() == other.size() &&
         std::equal(name.begin(), name.end(), other.begin(),
                    [](char a, char b) { return word_byte(a) == word_byte(b); });
}

int32_t first_written_as(const Catalogue& catalogue, std::string_view word) {
  for (size_t a = 0; a < catalogue.attributes.size(); ++a)
    if (written_equal(catalogue.attributes[a], word)) return static_cast<int32_t>(a);
  return -1;
}

}  // namespace

std::string attribute_word(const Catalogue& catalogue, int32_t attribute) {
  const std::string_view name = cut(catalogue.attributes.at(attribute));
  std::string word(name.empty() ? "-" : name);
  std::transform(word.begin(), word.end(), word.begin(), word_byte);
  if (first_written_as(catalogue, name) != attribute) word += fmt::format("#{}", attribute);
  return word;
}

std::string key_word(const Catalogue& catalogue, int32_t attribute) {
  std::string word = attribute_word(catalogue, attribute);
  for (size_t a = 0; a < catalogue.attributes.size(); ++a) {
    if (static_cast<int32_t>(a) != attribute && same_but_for_case(catalogue.attributes[a], word))
      return word;
  }
  return in_capitals(std::move(word));
}

namespace {

int32_t find_plain(const Catalogue& catalogue, std::string_view word) {
  const size_t mark = word.find('#');
  const auto is_plain = [](char c) { return word_byte(c) == c; };
  if (!std::all_of(word.begin(), mark == word.npos ? word.end() : word.begin() + mark, is_plain))
    return -1;
  if (mark == word.npos)
    return word.size() > kMaxPlainBytes ? -1 : first_written_as(catalogue, word);
  int32_t id = -1;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data() + mark + 1, end, id);
  if (error != std::errc() || stop != end || id < 0 ||
      id >= static_cast<int32_t>(catalogue.attributes.size()))
    return -1;
  return attribute_word(catalogue, id) == word ? id : -1;
}

}  // namespace

int32_t find_attribute(const Catalogue& catalogue, std::string_view word) {
  if (word.empty() || word.size() > kMaxWordBytes) return -1;
  const int32_t plain = find_plain(catalogue, word);
  if (plain >= 0) return plain;
  const bool capitals =
      std::none_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  for (size_t a = 0; capitals && a < catalogue.attributes.size(); ++a) {
    if (same_but_for_case(cut(catalogue.attributes[a]), word) &&
        key_word(catalogue, static_cast<int32_t>(a)) == word)
      return static_cast<int32_t>(a);
  }
  return -1;
}

int32_t season_index(int64_t time) {
  CHECK(time >= kFirstTime && time <= kLastTime, kInput,
        "time: expected seconds since 1970 within the years 1 to 9999, found {}", time);
  return quarter_of_year(time);
}

const char* season_word(int32_t season) { return kSeasonWords.at(season); }

int32_t find_season(std::string_view word) {
  const auto found = std::find(kSeasonWords.begin(), kSeasonWords.end(), word);
  return found == kSeasonWords.end() ? -1 : static_cast<int32_t>(found - kSeasonWords.begin());
}

namespace {

// In one line of at most kMaxTitleBytes, each ASCII byte through `replace`.
std::string title_line(std::string_view title, char (*replace)(char)) {
  std::string out;
  while (!title.empty()) {
    const size_t length = utf8_length(title);
    if (out.size() + std::max<size_t>(length, 1) > kMaxTitleBytes) break;
    if (length <= 1) {
      const char c = length == 0 ? '?' : replace(title[0]);
      if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
    } else {
      out += title.substr(0, length);
    }
    title.remove_prefix(std::max<size_t>(length, 1));
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

char plain_byte(char c) {
  if (c == ';') return ',';
  if (c == '"') return '\'';
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
}

}  // namespace

std::string escape_title(std::string_view title) { return title_line(title, escape_byte); }
std::string plain_title(std::string_view title) { return title_line(title, plain_byte); }

int32_t lead_attribute(const Catalogue& catalogue, int32_t item, int32_t field) {
  for (const int32_t a : catalogue.attributes_of(item))
    if (catalogue.attribute_fields[a] == field) return a;
  return -1;
}

bool has_attribute(const Catalogue& catalogue, int32_t item, int32_t attribute) {
  const auto all = catalogue.attributes_of(item);
  return std::find(all.begin(), all.end(), attribute) != all.end();
}

int32_t season_field(const Catalogue& catalogue) { return catalogue.fields.size() >= 2 ? 1 : 0; }

}  // namespace etrlrec
