#include "data/python_literal.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "base/json.h"
#include "base/strings.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr int kMaxDepth = 64;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.';
}

struct Escape {
  char letter;
  size_t digits;  // of hexadecimal
};

class LiteralParser {
 public:
  explicit LiteralParser(std::string_view text) : rest_(text) {}

  std::optional<Json> parse() {
    Json out;
    if (!value(out, 0)) return std::nullopt;
    skip();
    return rest_.empty() ? std::optional(std::move(out)) : std::nullopt;
  }

 private:
  void skip() {
    const size_t begin = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(begin == std::string_view::npos ? rest_.size() : begin);
  }
  bool take(char c) {
    skip();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool value(Json& out, int depth) {
    if (depth > kMaxDepth) return false;
    skip();
    if (rest_.empty()) return false;
    if (take('{')) return dict_or_set(out, depth);
    if (take('[')) return list(out, ']', depth);
    if (take('(')) return list(out, ')', depth);
    if (starts_string()) {
      std::string text;
      do {
        if (!string(text)) return false;
        skip();
      } while (starts_string());  // adjacent strings are one
      out = std::move(text);
      return true;
    }
    return word(out);
  }

  bool list(Json& out, char close, int depth) {
    out = Json::array();
    while (!take(close)) {
      Json element;
      if (!value(element, depth + 1)) return false;
      out.push_back(std::move(element));
      if (take(',')) continue;
      return take(close);
    }
    return true;
  }

  bool dict_or_set(Json& out, int depth) {
    out = Json::object();
    if (take('}')) return true;
    Json key;
    if (!value(key, depth + 1)) return false;
    if (!take(':')) {
      out = Json::array({std::move(key)});
      if (!take(',')) return take('}');
      Json others;
      if (!list(others, '}', depth)) return false;
      out.insert(out.end(), others.begin(), others.end());
      return true;
    }
    while (true) {
      Json element;
      if (!value(element, depth + 1)) return false;
      out[key.is_string() ? key.get<std::string>() : key.dump()] = std::move(element);
      if (!take(',')) return take('}');
      if (take('}')) return true;
      if (!value(key, depth + 1) || !take(':')) return false;
    }
  }

  // u, b, r, f and two of them may stand in front of the quote.
  size_t prefix_length() const {
    size_t length = 0;
    while (length < std::min<size_t>(2, rest_.size()) &&
           std::string_view("uUbBrR").find(rest_[length]) != std::string_view::npos)
      ++length;
    return length;
  }
  bool starts_string() const {
    const size_t prefix = prefix_length();
    return prefix < rest_.size() && (rest_[prefix] == '\'' || rest_[prefix] == '"');
  }

  bool string(std::string& out) {
    const size_t prefix = prefix_length();
    const bool raw = ascii_lower(rest_.substr(0, prefix)).find('r') != std::string::npos;
    rest_.remove_prefix(prefix);
    const char quote = rest_.front();
    const std::string triple(3, quote);
    const std::string_view close =
        rest_.starts_with(triple) ? std::string_view(triple) : std::string_view(triple).substr(2);
    rest_.remove_prefix(close.size());
    while (!rest_.starts_with(close)) {
      if (rest_.empty()) return false;
      if (rest_.front() != '\\') {
        out += rest_.front();
        rest_.remove_prefix(1);
      } else if (rest_.size() < 2) {
        return false;
      } else if (raw) {
        out += rest_.substr(0, 2);
        rest_.remove_prefix(2);
      } else if (!escape(out)) {
        return false;
      }
    }
    rest_.remove_prefix(close.size());
    return true;
  }

  // One escape, which begins with the backslash at the front.
  bool escape(std::string& out) {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char letter = rest_[1];
    rest_.remove_prefix(2);
    if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
      out += kMeanings[known];
      return true;
    }
    if (letter == '\n') return true;
    for (const Escape& form : {Escape{'x', 2}, Escape{'u', 4}, Escape{'U', 8}})
      if (letter == form.letter) return code_point(form.digits, out);
    out += '\\';  // Python keeps what it does not know
    out += letter;
    return true;
  }

  std::optional<uint32_t> hexadecimal(size_t digits) {
    if (rest_.size() < digits) return std::nullopt;
    uint32_t code = 0;
    const auto result = std::from_chars(rest_.data(), rest_.data() + digits, code, 16);
    if (result.ec != std::errc() || result.ptr != rest_.data() + digits) return std::nullopt;
    rest_.remove_prefix(digits);
    return code;
  }

  bool code_point(size_t digits, std::string& out) {
    auto code = hexadecimal(digits);
    if (!code) return false;
    if (*code >= 0xd800 && *code < 0xdc00 && rest_.starts_with("\\u")) {  // a pair, as in Python 2
      rest_.remove_prefix(2);
      const auto second = hexadecimal(4);
      if (!second || *second < 0xdc00 || *second > 0xdfff) return false;
      code = 0x10000 + ((*code - 0xd800) << 10) + (*second - 0xdc00);
    }
    constexpr uint32_t kReplacement = 0xfffd;
    if (!append_code_point(*code, out)) append_code_point(kReplacement, out);  // half a pair
    return true;
  }

  bool word(Json& out) {
    size_t length = 0;
    const auto sign = [&](char c) {
      return (c == '-' || c == '+') &&
             (length == 0 || rest_[length - 1] == 'e' || rest_[length - 1] == 'E');
    };
    while (length < rest_.size() && (is_word(rest_[length]) || sign(rest_[length]))) ++length;
    const std::string_view text = rest_.substr(0, length);
    rest_.remove_prefix(length);
    if (text == "True" || text == "False") {
      out = text == "True";
    } else if (text == "None") {
      out = nullptr;
    } else {
      return number(text, out);
    }
    return true;
  }

  static bool number(std::string_view text, Json& out) {
    const char* end = text.data() + text.size();
    int64_t integer = 0;
    if (const auto result = std::from_chars(text.data(), end, integer);
        result.ec == std::errc() && result.ptr == end) {
      out = integer;
      return true;
    }
    double value = 0;
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec == std::errc::invalid_argument || result.ptr != end) return text == "nan";
    out = std::string(text);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<Json> parse_python_literal(std::string_view text) {
  return LiteralParser(text).parse();
}

}  // namespace etrlrec
