#include "text/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace etrlrec {
namespace {

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }
bool is_continuation(char c) { return (c & 0xc0) == 0x80; }

constexpr size_t kMaxLength = 4;  // bytes of a character

}  // namespace

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  if (is_ascii(text[0])) return 1;
  utf8proc_int32_t code = 0;
  const auto length =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(std::min(text.size(), kMaxLength)), &code);
  return length > 0 ? static_cast<size_t>(length) : 0;
}

size_t valid_utf8_length(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t word = 0;
    while (i + 8 <= text.size() &&
           (std::memcpy(&word, text.data() + i, 8), (word & 0x8080808080808080u) == 0))
      i += 8;
    if (i == text.size()) break;
    const size_t length = utf8_length(text.substr(i));
    if (length == 0) break;
    i += length;
  }
  return i;
}

bool is_utf8(std::string_view text) { return valid_utf8_length(text) == text.size(); }

size_t code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string_view first_code_points(std::string_view text, size_t count) {
  size_t i = 0;
  for (; i < text.size(); ++i) {
    if (!is_continuation(text[i]) && count-- == 0) break;
  }
  return text.substr(0, i);
}

std::string_view cut_utf8(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  // The character that the cut would split begins at most three bytes before it.
  for (size_t back = 0; back < kMaxLength && back <= max_bytes; ++back)
    if (!is_continuation(text[max_bytes - back])) return text.substr(0, max_bytes - back);
  return text.substr(0, max_bytes);
}

bool append_code_point(uint32_t code_point, std::string& out) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000)) return false;
  std::array<utf8proc_uint8_t, kMaxLength> bytes;
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes.data());
  out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size));
  return true;
}

std::string windows1252_to_utf8(std::string_view text) {
  static constexpr std::array<uint16_t, 32> kMarks = {
      0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
      0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
      0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    append_code_point(byte >= 0x80 && byte < 0xa0 ? kMarks[byte - 0x80] : byte, out);
  }
  return out;
}

std::string to_utf8(std::string_view text) {
  return is_utf8(text) ? std::string(text) : windows1252_to_utf8(text);
}

}  // namespace etrlrec
