#include "base/nearest_word.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace etrlrec {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

std::string nearest_word(std::string_view word, std::span<const std::string> known, size_t limit) {
  const std::string wanted = ascii_lower(word);
  std::string best;
  for (const std::string& name : known) {
    const size_t distance = edit_distance(wanted, ascii_lower(name));
    if (distance < limit) {
      best = name;
      limit = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> known) {
  const std::string near = nearest_word(word, known, std::max<size_t>(2, word.size() / 3) + 1);
  return near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
}

}  // namespace etrlrec
