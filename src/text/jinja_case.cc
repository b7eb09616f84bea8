#include "text/jinja_case.h"

#include <utf8proc.h>

#include <algorithm>

#include "text/jinja_text.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

// Letters whose upper or title case is more than one letter (SpecialCasing.txt of Unicode).
struct SpecialCase {
  int32_t code_point;
  std::string_view upper, title;
};
constexpr SpecialCase kSpecialCases[] = {{0xdf, "SS", "Ss"},
                                         {0x149, "\u02bcN", "\u02bcN"},
                                         {0x1f0, "J\u030c", "J\u030c"},
                                         {0x390, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
                                         {0x3b0, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301"},
                                         {0x587, "\u0535\u0552", "\u0535\u0582"},
                                         {0x1e96, "H\u0331", "H\u0331"},
                                         {0x1e97, "T\u0308", "T\u0308"},
                                         {0x1e98, "W\u030a", "W\u030a"},
                                         {0x1e99, "Y\u030a", "Y\u030a"},
                                         {0x1e9a, "A\u02be", "A\u02be"},
                                         {0x1f50, "\u03a5\u0313", "\u03a5\u0313"},
                                         {0x1f52, "\u03a5\u0313\u0300", "\u03a5\u0313\u0300"},
                                         {0x1f54, "\u03a5\u0313\u0301", "\u03a5\u0313\u0301"},
                                         {0x1f56, "\u03a5\u0313\u0342", "\u03a5\u0313\u0342"},
                                         {0x1f80, "\u1f08\u0399", "\u1f88"},
                                         {0x1f81, "\u1f09\u0399", "\u1f89"},
                                         {0x1f82, "\u1f0a\u0399", "\u1f8a"},
                                         {0x1f83, "\u1f0b\u0399", "\u1f8b"},
                                         {0x1f84, "\u1f0c\u0399", "\u1f8c"},
                                         {0x1f85, "\u1f0d\u0399", "\u1f8d"},
                                         {0x1f86, "\u1f0e\u0399", "\u1f8e"},
                                         {0x1f87, "\u1f0f\u0399", "\u1f8f"},
                                         {0x1f88, "\u1f08\u0399", "\u1f88"},
                                         {0x1f89, "\u1f09\u0399", "\u1f89"},
                                         {0x1f8a, "\u1f0a\u0399", "\u1f8a"},
                                         {0x1f8b, "\u1f0b\u0399", "\u1f8b"},
                                         {0x1f8c, "\u1f0c\u0399", "\u1f8c"},
                                         {0x1f8d, "\u1f0d\u0399", "\u1f8d"},
                                         {0x1f8e, "\u1f0e\u0399", "\u1f8e"},
                                         {0x1f8f, "\u1f0f\u0399", "\u1f8f"},
                                         {0x1f90, "\u1f28\u0399", "\u1f98"},
                                         {0x1f91, "\u1f29\u0399", "\u1f99"},
                                         {0x1f92, "\u1f2a\u0399", "\u1f9a"},
                                         {0x1f93, "\u1f2b\u0399", "\u1f9b"},
                                         {0x1f94, "\u1f2c\u0399", "\u1f9c"},
                                         {0x1f95, "\u1f2d\u0399", "\u1f9d"},
                                         {0x1f96, "\u1f2e\u0399", "\u1f9e"},
                                         {0x1f97, "\u1f2f\u0399", "\u1f9f"},
                                         {0x1f98, "\u1f28\u0399", "\u1f98"},
                                         {0x1f99, "\u1f29\u0399", "\u1f99"},
                                         {0x1f9a, "\u1f2a\u0399", "\u1f9a"},
                                         {0x1f9b, "\u1f2b\u0399", "\u1f9b"},
                                         {0x1f9c, "\u1f2c\u0399", "\u1f9c"},
                                         {0x1f9d, "\u1f2d\u0399", "\u1f9d"},
                                         {0x1f9e, "\u1f2e\u0399", "\u1f9e"},
                                         {0x1f9f, "\u1f2f\u0399", "\u1f9f"},
                                         {0x1fa0, "\u1f68\u0399", "\u1fa8"},
                                         {0x1fa1, "\u1f69\u0399", "\u1fa9"},
                                         {0x1fa2, "\u1f6a\u0399", "\u1faa"},
                                         {0x1fa3, "\u1f6b\u0399", "\u1fab"},
                                         {0x1fa4, "\u1f6c\u0399", "\u1fac"},
                                         {0x1fa5, "\u1f6d\u0399", "\u1fad"},
                                         {0x1fa6, "\u1f6e\u0399", "\u1fae"},
                                         {0x1fa7, "\u1f6f\u0399", "\u1faf"},
                                         {0x1fa8, "\u1f68\u0399", "\u1fa8"},
                                         {0x1fa9, "\u1f69\u0399", "\u1fa9"},
                                         {0x1faa, "\u1f6a\u0399", "\u1faa"},
                                         {0x1fab, "\u1f6b\u0399", "\u1fab"},
                                         {0x1fac, "\u1f6c\u0399", "\u1fac"},
                                         {0x1fad, "\u1f6d\u0399", "\u1fad"},
                                         {0x1fae, "\u1f6e\u0399", "\u1fae"},
                                         {0x1faf, "\u1f6f\u0399", "\u1faf"},
                                         {0x1fb2, "\u1fba\u0399", "\u1fba\u0345"},
                                         {0x1fb3, "\u0391\u0399", "\u1fbc"},
                                         {0x1fb4, "\u0386\u0399", "\u0386\u0345"},
                                         {0x1fb6, "\u0391\u0342", "\u0391\u0342"},
                                         {0x1fb7, "\u0391\u0342\u0399", "\u0391\u0342\u0345"},
                                         {0x1fbc, "\u0391\u0399", "\u1fbc"},
                                         {0x1fc2, "\u1fca\u0399", "\u1fca\u0345"},
                                         {0x1fc3, "\u0397\u0399", "\u1fcc"},
                                         {0x1fc4, "\u0389\u0399", "\u0389\u0345"},
                                         {0x1fc6, "\u0397\u0342", "\u0397\u0342"},
                                         {0x1fc7, "\u0397\u0342\u0399", "\u0397\u0342\u0345"},
                                         {0x1fcc, "\u0397\u0399", "\u1fcc"},
                                         {0x1fd2, "\u0399\u0308\u0300", "\u0399\u0308\u0300"},
                                         {0x1fd3, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
                                         {0x1fd6, "\u0399\u0342", "\u0399\u0342"},
                                         {0x1fd7, "\u0399\u0308\u0342", "\u0399\u0308\u0342"},
                                         {0x1fe2, "\u03a5\u0308\u0300", "\u03a5\u0308\u0300"},
                                         {0x1fe3, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301"},
                                         {0x1fe4, "\u03a1\u0313", "\u03a1\u0313"},
                                         {0x1fe6, "\u03a5\u0342", "\u03a5\u0342"},
                                         {0x1fe7, "\u03a5\u0308\u0342", "\u03a5\u0308\u0342"},
                                         {0x1ff2, "\u1ffa\u0399", "\u1ffa\u0345"},
                                         {0x1ff3, "\u03a9\u0399", "\u1ffc"},
                                         {0x1ff4, "\u038f\u0399", "\u038f\u0345"},
                                         {0x1ff6, "\u03a9\u0342", "\u03a9\u0342"},
                                         {0x1ff7, "\u03a9\u0342\u0399", "\u03a9\u0342\u0345"},
                                         {0x1ffc, "\u03a9\u0399", "\u1ffc"},
                                         {0xfb00, "FF", "Ff"},
                                         {0xfb01, "FI", "Fi"},
                                         {0xfb02, "FL", "Fl"},
                                         {0xfb03, "FFI", "Ffi"},
                                         {0xfb04, "FFL", "Ffl"},
                                         {0xfb05, "ST", "St"},
                                         {0xfb06, "ST", "St"},
                                         {0xfb13, "\u0544\u0546", "\u0544\u0576"},
                                         {0xfb14, "\u0544\u0535", "\u0544\u0565"},
                                         {0xfb15, "\u0544\u053b", "\u0544\u056b"},
                                         {0xfb16, "\u054e\u0546", "\u054e\u0576"},
                                         {0xfb17, "\u0544\u053d", "\u0544\u056d"}};

enum class Case { kUpper, kTitle, kLower };

const SpecialCase* find_special(int32_t point) {
  const auto* found = std::lower_bound(
      std::begin(kSpecialCases), std::end(kSpecialCases), point,
      [](const SpecialCase& row, int32_t value) { return row.code_point < value; });
  return found != std::end(kSpecialCases) && found->code_point == point ? found : nullptr;
}

bool is_cased(int32_t point) {
  if (point < 0) return false;
  const auto category = utf8proc_category(point);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT || utf8proc_islower(point) || utf8proc_isupper(point);
}

// Marks and letters of no case that stand inside of words.
bool is_case_ignorable(int32_t point) {
  static constexpr int32_t kMarks[] = {'\'',   '.',   ':',   '^',   '`',    0xa8,   0xad,
                                       0xaf,   0xb4,  0xb7,  0xb8,  0x2018, 0x2019, 0x2024,
                                       0x2027, 0x387, 0x55f, 0x5f4, 0xfe13, 0xfe52, 0xfe55};
  if (point < 0) return false;
  if (std::find(std::begin(kMarks), std::end(kMarks), point) != std::end(kMarks)) return true;
  const auto category = utf8proc_category(point);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
         category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
         category == UTF8PROC_CATEGORY_SK;
}

// A sigma behind a letter and not in front of one is written in its final form.
bool is_final_sigma(std::string_view text, size_t at) {
  bool before = false;
  for (size_t i = at; i > 0 && !before;) {
    do {
      --i;
    } while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80);
    const int32_t point = code_point_at(text.substr(i));
    if (is_case_ignorable(point)) continue;
    if (!is_cased(point)) return false;
    before = true;
  }
  if (!before) return false;
  for (size_t i = at + 2; i < text.size(); i += character_length(text.substr(i))) {
    const int32_t point = code_point_at(text.substr(i));
    if (!is_case_ignorable(point)) return !is_cased(point);
  }
  return true;
}

// Appends the letter at `at` in the given case and returns its length.
size_t append_in_case(std::string_view text, size_t at, Case wanted, std::string& out) {
  const std::string_view rest = text.substr(at);
  const size_t length = character_length(rest);
  const int32_t point = code_point_at(rest);
  if (point < 0) {
    out += rest[0];
    return 1;
  }
  const SpecialCase* special = wanted == Case::kLower ? nullptr : find_special(point);
  if (special != nullptr) {
    out += wanted == Case::kUpper ? special->upper : special->title;
  } else if (wanted == Case::kLower && point == 0x130) {
    out += "i\u0307";
  } else if (wanted == Case::kLower && point == 0x3a3) {
    out += is_final_sigma(text, at) ? "\u03c2" : "\u03c3";
  } else {
    const int32_t mapped = wanted == Case::kUpper   ? utf8proc_toupper(point)
                           : wanted == Case::kTitle ? utf8proc_totitle(point)
                                                    : utf8proc_tolower(point);
    append_code_point(static_cast<uint32_t>(mapped), out);
  }
  return length;
}

std::string all_in_case(std::string_view text, Case wanted) {
  std::string out;
  for (size_t i = 0; i < text.size();) i += append_in_case(text, i, wanted, out);
  return out;
}

bool only_case(std::string_view text, bool upper) {
  bool found = false;
  for (size_t i = 0; i < text.size(); i += character_length(text.substr(i))) {
    const int32_t point = code_point_at(text.substr(i));
    if (!is_cased(point)) continue;
    if (upper ? !utf8proc_isupper(point) : !utf8proc_islower(point)) return false;
    found = true;
  }
  return found;
}

}  // namespace

int32_t code_point_at(std::string_view text) {
  const size_t length = utf8_length(text);
  if (length == 0) return -1;
  utf8proc_int32_t point = -1;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(length), &point);
  return point;
}

std::string upper_case(std::string_view text) { return all_in_case(text, Case::kUpper); }
std::string lower_case(std::string_view text) { return all_in_case(text, Case::kLower); }

std::string title_case(std::string_view text) {
  std::string out;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const bool cased = is_cased(code_point_at(text.substr(i)));
    i += append_in_case(text, i, inside ? Case::kLower : Case::kTitle, out);
    inside = cased;
  }
  return out;
}

std::string capitalize_case(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();)
    i += append_in_case(text, i, i == 0 ? Case::kTitle : Case::kLower, out);
  return out;
}

bool is_upper_case(std::string_view text) { return only_case(text, true); }
bool is_lower_case(std::string_view text) { return only_case(text, false); }

bool is_printable(int32_t point) {
  if (point < 0) return false;
  if (point == ' ') return true;
  switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_word_character(int32_t point) {
  if (point < 0) return false;
  const auto category = utf8proc_category(point);
  return point == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

}  // namespace etrlrec
