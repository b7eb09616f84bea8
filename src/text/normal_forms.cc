#include "text/normal_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "text/characters.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

void append_decomposed(char32_t c, int options, std::vector<utf8proc_int32_t>& out) {
  std::array<utf8proc_int32_t, 32> points{};
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), points.data(), std::ssize(points),
                              static_cast<utf8proc_option_t>(options), nullptr);
  CHECK(count >= 0 && count <= std::ssize(points), kInput, "text: U+{:04X} cannot be decomposed",
        static_cast<uint32_t>(c));
  out.insert(out.end(), points.begin(), points.begin() + count);
}

}  // namespace

std::string normal_form(std::string_view text, NormalForm form) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; }))
    return std::string(text);
  const bool is_compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (is_compatible ? UTF8PROC_COMPAT : 0);
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    append_decomposed(next.point, options, points);
    i += next.length;
  }
  for (auto begin = points.begin(); begin != points.end();) {
    begin = std::find_if(begin, points.end(), combining_class);
    const auto end =
        std::find_if(begin, points.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
  if (form == NormalForm::kNfc || form == NormalForm::kNfkc) {
    const auto size = utf8proc_normalize_utf32(
        points.data(), std::ssize(points),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    CHECK(size >= 0, kInput, "text: normalisation failed: {}", utf8proc_errmsg(size));
    points.resize(static_cast<size_t>(size));
  }
  std::string out;
  for (const auto c : points) append_code_point(static_cast<uint32_t>(c), out);
  return out;
}

}  // namespace etrlrec
