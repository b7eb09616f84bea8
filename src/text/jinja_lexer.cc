#include "text/jinja_lexer.h"

#include <algorithm>

#include "base/check.h"
#include "text/jinja_text.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

using TokenKind = JinjaToken::Kind;

// Line breaks as \n, without one at the end.
std::string with_plain_lines(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool pair = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (!pair) out += text[i] == '\r' ? '\n' : text[i];
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& name)
      : source_(with_plain_lines(text)), text_(source_), name_(name) {}
  std::vector<JinjaToken> take();

 private:
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    etrlrec::fail(ExitCode::kModel, "{}:{}: {}", name_, line_,
                  fmt::format(format, std::forward<Args>(args)...));
  }
  std::string_view rest() const { return text_.substr(at_); }
  void advance(size_t bytes);
  void put(TokenKind kind, std::string value) {
    tokens_.push_back({kind, std::move(value), line_});
  }
  void put_text(std::string_view text, std::string_view tag);
  void skip_comment();
  void read_raw(size_t tag_bytes);
  void read_expression(bool is_block);
  bool read_end(bool is_block);
  void read_token();
  void read_number();
  void read_string();
  void read_escape(std::string_view body, size_t& i, std::string& out) const;
  void read_hexadecimal(std::string_view body, size_t& i, size_t digits, std::string& out) const;
  void read_operator();
  size_t raw_tag() const;

  std::string source_;
  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // what was read last ends in a line break
  std::string open_;         // brackets
  std::vector<JinjaToken> tokens_;
};

void Lexer::advance(size_t bytes) {
  if (bytes == 0) return;
  const std::string_view read = text_.substr(at_, bytes);
  line_ += static_cast<int>(std::count(read.begin(), read.end(), '\n'));
  line_starts_ = read.ends_with('\n');
  at_ += bytes;
}

// The text in front of a tag, which may ask for less of it. An empty tag: the end.
void Lexer::put_text(std::string_view text, std::string_view tag) {
  const char sign = tag.size() > 2 ? tag[2] : ' ';
  std::string_view kept = text;
  if (!tag.empty() && sign == '-') {
    kept = trim_right(text);
  } else if (!tag.empty() && sign != '+' && tag[1] != '{') {
    const size_t line = text.rfind('\n') + 1;  // npos + 1 is 0
    if ((line > 0 || line_starts_) && trim_left(text.substr(line)).empty())
      kept = text.substr(0, line);
  }
  if (!kept.empty()) put(TokenKind::kText, std::string(kept));
  advance(text.size());
}

void Lexer::skip_comment() {
  const char first = rest().size() > 2 ? rest()[2] : ' ';
  const size_t begin = at_ + 2 + (first == '-' || first == '+');  // {#-#} has one sign
  const size_t end = text_.find("#}", begin);
  if (end == text_.npos) fail("the comment has no end #}}");
  const char sign = end > begin ? text_[end - 1] : ' ';
  advance(end + 2 - at_);
  if (sign == '-')
    advance(rest().size() - trim_left(rest()).size());
  else if (sign != '+' && rest().starts_with('\n'))
    advance(1);
}

// Bytes of the tag {% raw %} here, 0 where there is none.
size_t Lexer::raw_tag() const {
  std::string_view tag = rest();
  tag.remove_prefix(2);
  if (tag.starts_with('-') || tag.starts_with('+')) tag.remove_prefix(1);
  tag = trim_left(tag);
  if (!tag.starts_with("raw")) return 0;
  tag = trim_left(tag.substr(3));
  if (tag.starts_with("-%}")) return rest().size() - trim_left(tag.substr(3)).size();
  return tag.starts_with("%}") ? rest().size() - tag.size() + 2 : 0;
}

void Lexer::read_raw(size_t tag_bytes) {
  advance(tag_bytes);
  for (size_t end = text_.find("{%", at_); end != text_.npos; end = text_.find("{%", end + 2)) {
    std::string_view tag = text_.substr(end + 2);
    const std::string_view sign = tag.substr(0, tag.starts_with('-') || tag.starts_with('+'));
    tag = trim_left(tag.substr(sign.size()));
    if (!tag.starts_with("endraw")) continue;
    tag = trim_left(tag.substr(6));
    const char last = tag.empty() ? ' ' : tag[0];
    if (last == '-' || last == '+') tag.remove_prefix(1);
    if (!tag.starts_with("%}")) continue;
    tag.remove_prefix(2);
    if (last == '-') tag = trim_left(tag);
    if (last == '%' && tag.starts_with('\n')) tag.remove_prefix(1);
    put_text(text_.substr(at_, end - at_), text_.substr(end, 2 + sign.size()));
    advance(rest().size() - tag.size());
    return;
  }
  fail("{{% raw %}} has no {{% endraw %}}");
}

std::vector<JinjaToken> Lexer::take() {
  while (at_ < text_.size()) {
    size_t begin = at_;
    for (;; ++begin) {
      begin = text_.find('{', begin);
      if (begin == text_.npos || begin + 1 == text_.size()) {
        put_text(rest(), "");
        break;
      }
      const char next = text_[begin + 1];
      if (next != '{' && next != '%' && next != '#') continue;
      put_text(text_.substr(at_, begin - at_), text_.substr(begin, 3));
      const size_t raw = next == '%' ? raw_tag() : 0;
      if (next == '#')
        skip_comment();
      else if (raw > 0)
        read_raw(raw);
      else
        read_expression(next == '%');
      break;
    }
  }
  put(TokenKind::kEnd, "");
  return std::move(tokens_);
}

// Inside of brackets }} closes dicts.
bool Lexer::read_end(bool is_block) {
  const std::string_view end = is_block ? "%}" : "}}";
  const bool strips = rest().starts_with('-'), keeps = is_block && rest().starts_with('+');
  if (!open_.empty() || !rest().substr(strips || keeps).starts_with(end)) return false;
  put(is_block ? TokenKind::kBlockEnd : TokenKind::kPrintEnd, "");
  advance(2 + (strips || keeps));
  if (strips)
    advance(rest().size() - trim_left(rest()).size());
  else if (is_block && !keeps && rest().starts_with('\n'))
    advance(1);
  return true;
}

void Lexer::read_expression(bool is_block) {
  put(is_block ? TokenKind::kBlockBegin : TokenKind::kPrintBegin, "");
  const char sign = rest().size() > 2 ? rest()[2] : ' ';
  advance(sign == '-' || sign == '+' ? 3 : 2);
  for (;;) {
    advance(rest().size() - trim_left(rest()).size());
    if (at_ >= text_.size()) fail("the tag has no end {}", is_block ? "%}" : "}}");
    if (read_end(is_block)) return;
    read_token();
  }
}

void Lexer::read_token() {
  const char c = text_[at_];
  if (is_digit(c)) return read_number();
  if (c == '\'' || c == '"') return read_string();
  if (!is_name_start(c)) return read_operator();
  size_t end = at_;
  while (end < text_.size() && (is_name_start(text_[end]) || is_digit(text_[end]))) ++end;
  put(TokenKind::kName, std::string(text_.substr(at_, end - at_)));
  advance(end - at_);
}

void Lexer::read_number() {
  const auto digits = [&](size_t from) {
    size_t end = from;
    while (end < text_.size() &&
           (is_digit(text_[end]) || (text_[end] == '_' && end > from && end + 1 < text_.size() &&
                                     is_digit(text_[end + 1]))))
      ++end;
    return end - from;
  };
  const auto at = [&](size_t place) { return place < text_.size() ? text_[place] : ' '; };
  if (text_[at_] == '0' && (is_name_start(at(at_ + 1)) && at(at_ + 1) != 'e' && at(at_ + 1) != '_'))
    fail("numbers in other bases than ten are not supported");
  size_t end = at_ + digits(at_);
  bool is_float = false;
  const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
  if (!after_dot && at(end) == '.' && digits(end + 1) > 0) {
    end += 1 + digits(end + 1);
    is_float = true;
  }
  if (!after_dot && (at(end) == 'e' || at(end) == 'E')) {
    const size_t sign = at(end + 1) == '+' || at(end + 1) == '-';
    if (const size_t count = digits(end + 1 + sign); count > 0) {
      end += 1 + sign + count;
      is_float = true;
    }
  }
  std::string value(text_.substr(at_, end - at_));
  value.erase(std::remove(value.begin(), value.end(), '_'), value.end());
  if (!is_float && value.size() > 1 && value[0] == '0' &&
      value.find_first_not_of('0') != value.npos)
    fail("an integer does not begin with 0");
  put(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(value));
  advance(end - at_);
}

void Lexer::read_hexadecimal(std::string_view body, size_t& i, size_t digits,
                             std::string& out) const {
  uint32_t code = 0;
  for (size_t k = 0; k < digits; ++k, ++i) {
    const char c = i < body.size() ? body[i] : ' ';
    const char small = static_cast<char>(c | 0x20);
    const bool letter = small >= 'a' && small <= 'f';
    if (!is_digit(c) && !letter) fail("expected {} hexadecimal digits in an escape", digits);
    code = code << 4 | static_cast<uint32_t>(letter ? small - 'a' + 10 : c - '0');
  }
  if (!append_code_point(code, out)) fail("an escape says U+{:04X}, which is no character", code);
}

// `i` is behind the backslash; what Python has no escape for keeps it.
void Lexer::read_escape(std::string_view body, size_t& i, std::string& out) const {
  static constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
  const char c = body[i++];
  if (c == '\n') return;
  if (const size_t at = kFrom.find(c); at != kFrom.npos) {
    out += kTo[at];
  } else if (c == 'x' || c == 'u' || c == 'U') {
    read_hexadecimal(body, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
  } else if (c >= '0' && c <= '7') {
    uint32_t code = static_cast<uint32_t>(c - '0');
    for (int k = 0; k < 2 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++k)
      code = code * 8 + static_cast<uint32_t>(body[i++] - '0');
    append_code_point(code, out);
  } else if (c == 'N') {
    fail("escapes \\N{{...}} are not supported");
  } else {
    (out += '\\') += c;
  }
}

void Lexer::read_string() {
  const char quote = text_[at_];
  size_t end = at_ + 1;
  while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
  if (end >= text_.size()) fail("the string has no end {}", quote);
  const std::string_view body = text_.substr(at_ + 1, end - at_ - 1);
  std::string value;
  for (size_t i = 0; i < body.size();) {
    if (body[i] != '\\')
      value += body[i++];
    else
      read_escape(body, ++i, value);
  }
  put(TokenKind::kString, std::move(value));
  advance(end + 1 - at_);
}

void Lexer::read_operator() {
  static constexpr std::string_view kOperators[] = {
      "//", "**", "==", "!=", "<=", ">=", "+", "-", "/", "*", "%", "~", "<",
      ">",  "=",  ".",  ":",  "|",  ",",  ";", "(", ")", "[", "]", "{", "}"};
  const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                   [&](std::string_view op) { return rest().starts_with(op); });
  if (found == std::end(kOperators))
    fail("expected an expression, found {}", rest().substr(0, character_length(rest())));
  const char c = (*found)[0];
  if (c == '(' || c == '[' || c == '{') open_ += c;
  if (c == ')' || c == ']' || c == '}') {
    const char opens = c == ')' ? '(' : c == ']' ? '[' : '{';
    if (open_.empty() || open_.back() != opens) fail("{} closes no bracket", c);
    open_.pop_back();
  }
  put(TokenKind::kOperator, std::string(*found));
  advance(found->size());
}

}  // namespace

std::vector<JinjaToken> read_jinja_tokens(std::string_view text, const std::string& name) {
  return Lexer(text, name).take();
}

}  // namespace etrlrec
