// Escaping of text from outside: titles, reasonings, option values.
#include "eval/html.h"

#include <algorithm>
#include <cstdint>

namespace etrlrec {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

void escape_ascii(std::string& out, char c) {
  switch (c) {
    case '&':
      out += "&amp;";
      return;
    case '<':
      out += "&lt;";
      return;
    case '>':
      out += "&gt;";
      return;
    case '"':
      out += "&quot;";
      return;
    case '\'':
      out += "&#39;";
      return;
    default:
      break;
  }
  const bool control = c == 0x7f || (c >= 0 && c < 0x20 && c != '\n' && c != '\t');
  if (control) {
    out += kReplacement;
  } else {
    out += c;
  }
}

// Length of the well-formed UTF-8 sequence of two to four bytes at the start of `text`, 0 when
// there is none.
size_t sequence_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t length = lead >= 0xf0 && lead <= 0xf4   ? 4
                        : lead >= 0xe0 && lead <= 0xef ? 3
                        : lead >= 0xc2 && lead <= 0xdf ? 2
                                                       : 0;
  if (length == 0 || length > text.size()) return 0;
  uint32_t code = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return overlong || surrogate || code > 0x10ffff ? 0 : length;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    size_t length = 1;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      escape_ascii(out, text[0]);
    } else if (const size_t valid = sequence_length(text); valid > 0) {
      out += text.substr(0, valid);
      length = valid;
    } else {
      out += kReplacement;
    }
    text.remove_prefix(length);
  }
  return out;
}

size_t code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace etrlrec
