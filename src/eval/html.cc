#include "eval/html.h"

#include "text/utf8.h"

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

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    size_t length = 1;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      escape_ascii(out, text[0]);
    } else if (const size_t valid = utf8_length(text); valid > 0) {
      out += text.substr(0, valid);
      length = valid;
    } else {
      out += kReplacement;
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace etrlrec
