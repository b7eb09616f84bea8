#include "temporal/series.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace etrlrec {
namespace {

constexpr size_t kMaxTitleBytes = 256;

struct Word {
  std::string text;      // lower case
  bool capital = false;  // written in capitals only
};

bool is_letter(unsigned char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

std::string_view without_year(std::string_view title) {
  while (!title.empty() && title.back() == ' ') title.remove_suffix(1);
  const size_t n = title.size();
  const bool year = n > 6 && title[n - 1] == ')' && title[n - 6] == '(' &&
                    std::all_of(title.begin() + n - 5, title.begin() + n - 1, is_digit);
  return year ? title.substr(0, n - 6) : title;
}

std::vector<Word> split_words(std::string_view title) {
  std::vector<Word> words;
  bool inside = false;
  for (const char c : title) {
    const auto u = static_cast<unsigned char>(c);
    if (u == '\'') continue;
    if (!is_letter(u) && !is_digit(u) && u < 0x80) {
      inside = false;
      continue;
    }
    if (!inside) words.push_back({"", true});
    inside = true;
    words.back().capital = words.back().capital && u >= 'A' && u <= 'Z';
    words.back().text += static_cast<char>(u >= 'A' && u <= 'Z' ? u | 0x20 : u);
  }
  return words;
}

// Value of a Roman number of I, V and X in lower case, 0 when it is not the usual way to write one.
int32_t roman(std::string_view text) {
  int32_t tens = 0;
  while (!text.empty() && text.front() == 'x' && tens < 20) {
    tens += 10;
    text.remove_prefix(1);
  }
  constexpr std::array<std::string_view, 10> ones{"",  "i",  "ii",  "iii",  "iv",
                                                  "v", "vi", "vii", "viii", "ix"};
  const auto found = std::find(ones.begin(), ones.end(), text);
  return found == ones.end() ? 0 : tens + static_cast<int32_t>(found - ones.begin());
}

int32_t part_number(const Word& word, bool last) {
  if (std::all_of(word.text.begin(), word.text.end(), is_digit))
    return word.text.size() <= 2 ? std::stoi(word.text) : 0;
  if (!word.capital || (word.text == "i" && !last)) return 0;
  return roman(word.text);
}

bool is_article(std::string_view word) { return word == "the" || word == "a" || word == "an"; }
bool announces_number(std::string_view word) {
  constexpr std::array<std::string_view, 7> kWords{"part",    "episode", "vol", "volume",
                                                   "chapter", "book",    "no"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

}  // namespace

SeriesPart parse_series(std::string_view title) {
  const std::vector<Word> words = split_words(without_year(title.substr(0, kMaxTitleBytes)));
  SeriesPart result;
  size_t end = words.size();
  for (size_t i = 1; i < words.size(); ++i) {
    const int32_t number = part_number(words[i], i + 1 == words.size());
    if (number < 1) continue;
    result.part = number;
    end = i;
    if (end > 1 && announces_number(words[end - 1].text)) --end;
    break;
  }
  for (size_t i = 0; i < end; ++i) {
    if (is_article(words[i].text)) continue;
    if (!result.stem.empty()) result.stem += ' ';
    result.stem += words[i].text;
  }
  return result;
}

SeriesTable find_series(const Catalogue& catalogue) {
  const auto n = static_cast<size_t>(catalogue.num_items());
  SeriesTable table{std::vector<int32_t>(n, -1), std::vector<int32_t>(n, 1)};
  std::unordered_map<std::string, int32_t> first_of;  // stem -> its first item
  for (size_t i = 0; i < n; ++i) {
    SeriesPart parsed = parse_series(catalogue.titles[i]);
    table.part[i] = parsed.part;
    if (parsed.stem.empty()) continue;
    const auto item = static_cast<int32_t>(i);
    const auto [entry, is_new] = first_of.try_emplace(std::move(parsed.stem), item);
    if (is_new) continue;
    table.series[entry->second] = entry->second;
    table.series[i] = entry->second;
  }
  return table;
}

}  // namespace etrlrec
