#include "text/regex_syntax.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "base/check.h"
#include "text/characters.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxPattern = size_t{1} << 14;
constexpr int kMaxNesting = 50;

// Items of PCRE2 classes.
constexpr std::string_view kSpaces =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// \w outside of a class holds these, too, inside of one it does not.
constexpr std::string_view kWordAlone =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
constexpr std::string_view kHex = "0-9a-fA-F";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string literal(char32_t c) { return fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(c)); }
std::string in_class(std::string_view items) { return fmt::format("[{}]", items); }
std::string outside_class(std::string_view items) { return fmt::format("[^{}]", items); }

// Class items of a property or POSIX name, by its letters alone; "" for others (scripts).
std::string named_items(const std::string& key) {
  static const std::map<std::string, std::string> kNames{
      {"alpha", R"(\p{Alphabetic})"},
      {"alphabetic", R"(\p{Alphabetic})"},
      {"alnum", R"(\p{Alphabetic}\p{Nd})"},
      {"digit", R"(\p{Nd})"},
      {"upper", R"(\p{Uppercase})"},
      {"uppercase", R"(\p{Uppercase})"},
      {"lower", R"(\p{Lowercase})"},
      {"lowercase", R"(\p{Lowercase})"},
      {"space", std::string(kSpaces)},
      {"whitespace", std::string(kSpaces)},
      {"blank", R"(\p{Zs}\t)"},
      {"cntrl", R"(\p{Cc})"},
      {"punct", R"(\p{P}\p{S})"},
      {"word", std::string(kWord)},
      {"xdigit", std::string(kHex)},
      {"any", R"(\p{Any})"},
      {"ascii", R"(\x{0}-\x{7f})"},
      {"emoji", R"(\p{Emoji})"},
      {"extendedpictographic", R"(\p{Extended_Pictographic})"},
      {"ideographic", R"(\p{Ideographic})"},
      {"letter", R"(\p{L})"},
      {"uppercaseletter", R"(\p{Lu})"},
      {"lowercaseletter", R"(\p{Ll})"},
      {"titlecaseletter", R"(\p{Lt})"},
      {"modifierletter", R"(\p{Lm})"},
      {"otherletter", R"(\p{Lo})"},
      {"mark", R"(\p{M})"},
      {"nonspacingmark", R"(\p{Mn})"},
      {"spacingmark", R"(\p{Mc})"},
      {"enclosingmark", R"(\p{Me})"},
      {"number", R"(\p{N})"},
      {"decimalnumber", R"(\p{Nd})"},
      {"letternumber", R"(\p{Nl})"},
      {"othernumber", R"(\p{No})"},
      {"punctuation", R"(\p{P})"},
      {"symbol", R"(\p{S})"},
      {"mathsymbol", R"(\p{Sm})"},
      {"currencysymbol", R"(\p{Sc})"},
      {"separator", R"(\p{Z})"},
      {"spaceseparator", R"(\p{Zs})"},
      {"other", R"(\p{C})"},
      {"control", R"(\p{Cc})"},
      {"format", R"(\p{Cf})"},
  };
  const auto found = kNames.find(key);
  return found == kNames.end() ? std::string() : found->second;
}

bool is_category(const std::string& key) {
  static constexpr std::string_view kCategories =
      " c cc cf cn co cs l ll lm lo lt lu m mc me mn n nd nl no p pc pd pe pf pi po ps s sc sk sm "
      "so z zl zp zs ";
  return kCategories.find(" " + key + " ") != std::string_view::npos;
}

// A class: items that PCRE2 knows and patterns of one character each, united.
struct Union {
  std::string items;
  std::vector<std::string> patterns;

  // A pattern that matches one character.
  std::string pattern(bool negated) const {
    if (patterns.empty() && items.empty()) return negated ? "(?s:.)" : "(?!)";
    if (patterns.empty()) return negated ? outside_class(items) : in_class(items);
    std::string either = items.empty() ? "" : in_class(items);
    for (const std::string& one : patterns) either += (either.empty() ? "" : "|") + one;
    return negated ? fmt::format("(?:(?!{})(?s:.))", either) : fmt::format("(?:{})", either);
  }
};

class RubyRegex {
 public:
  RubyRegex(std::string_view in, const std::string& name) : in_(in), name_(name) {}

  std::string translate() {
    CHECK(in_.size() <= kMaxPattern && is_utf8(in_), kInput,
          "{}: regular expression: expected at most {} bytes of UTF-8, found {}", name_,
          kMaxPattern, in_.size());
    std::string out = alternatives(0);
    if (!done()) refuse("a ) that closes nothing");
    return out;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ExitCode::kInput, "{}: regular expression: {} at byte {} is not supported: {}", name_,
         what, at_, in_);
  }
  bool done() const { return at_ >= in_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (!in_.substr(std::min(at_, in_.size())).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take_character() {
    if (done()) refuse("a pattern that is cut off");
    const Character next = character_at(in_, at_);
    at_ += next.length;
    return next.point;
  }
  // Up to `end`, which is taken too.
  std::string_view take_until(char end) {
    const size_t found = in_.find(end, at_);
    if (found == std::string_view::npos) refuse("a pattern that is cut off");
    const std::string_view out = in_.substr(at_, found - at_);
    at_ = found + 1;
    return out;
  }

  std::string alternatives(int depth) {
    if (depth > kMaxNesting) refuse("a group nested so deeply");
    std::string out;
    size_t open = 0;  // groups of options that hold up to the end
    while (!done() && peek() != ')') {
      if (take("|")) {
        out += '|';
        continue;
      }
      std::string options;
      if (isolated_options(options)) {
        out += options;
        ++open;
        continue;
      }
      std::string atom = next_atom(depth);
      out += quantified(std::move(atom));
    }
    return out + std::string(open, ')');
  }

  // "(?i-m" and the like, translated: "(?i-s:"; nothing is taken where no options are.
  bool take_options(std::string& out) {
    const size_t begin = at_;
    if (!take("(?")) return false;
    out = "(?";
    while (peek() == 'i' || peek() == 'm' || peek() == 'x' || peek() == '-') {
      if (peek() == 'x') refuse("the option x");
      out += peek() == 'm' ? 's' : peek();
      ++at_;
    }
    out += ':';
    if (at_ > begin + 2 && (peek() == ')' || peek() == ':')) return true;
    at_ = begin;
    return false;
  }

  bool isolated_options(std::string& out) {
    const size_t begin = at_;
    if (take_options(out) && take(")")) return true;
    at_ = begin;
    return false;
  }

  std::string next_atom(int depth) {
    if (peek() == '(') return group(depth);
    if (take("[")) return char_class(depth);
    if (take("\\")) return escape();
    const char c = peek();
    if (c == '.' || c == '^' || c == '$') {
      ++at_;
      return std::string(1, c);
    }
    if (c == '*' || c == '+' || c == '?') refuse("a quantifier of nothing");
    return literal(take_character());
  }

  std::string group(int depth) {
    std::string open;
    if (take("(?#")) {
      take_until(')');
      return "";
    }
    if (take_options(open)) {
      ++at_;
    } else if (take("(?")) {
      open = "(?";
      static constexpr std::array<std::string_view, 6> kKinds{":", "=", "!", ">", "<=", "<!"};
      const auto kind = std::find_if(kKinds.begin(), kKinds.end(),
                                     [this](std::string_view one) { return take(one); });
      if (kind != kKinds.end()) {
        open += *kind;
      } else if (take("<")) {
        open += fmt::format("<{}>", take_until('>'));
      } else {
        refuse("a group of this kind");
      }
    } else {
      ++at_;
      open = "(";
    }
    std::string out = open + alternatives(depth + 1);
    if (!take(")")) refuse("a pattern that is cut off");
    return out + ")";
  }

  // {n}, {n,}, {,m}, {n,m}; false, and nothing taken, for other braces, which are text.
  bool interval(std::string& out, bool& is_exact) {
    const size_t end = in_.find('}', at_);
    if (peek() != '{' || end == std::string_view::npos) return false;
    const std::string_view inner = in_.substr(at_ + 1, end - at_ - 1);
    const size_t comma = inner.find(',');
    const std::string_view low = inner.substr(0, comma);
    const std::string_view high =
        comma == std::string_view::npos ? std::string_view() : inner.substr(comma + 1);
    const auto is_number = [](std::string_view text) {
      return text.size() <= 6 && std::all_of(text.begin(), text.end(), is_digit);
    };
    if (!is_number(low) || !is_number(high) || (low.empty() && high.empty())) return false;
    is_exact = comma == std::string_view::npos;
    out = is_exact ? fmt::format("{{{}}}", low)
                   : fmt::format("{{{},{}}}", low.empty() ? "0" : low, high);
    at_ = end + 1;
    return true;
  }

  std::string quantified(std::string atom) {
    for (int count = 0;; ++count) {
      std::string quantifier;
      bool is_exact = false;
      if (interval(quantifier, is_exact)) {
        // {n}? may be absent as a whole, {n,m}+ repeats it; a lazy one keeps its mark.
        if (!is_exact && take("?")) quantifier += '?';
      } else if (peek() == '*' || peek() == '+' || peek() == '?') {
        quantifier = in_[at_++];
        if (peek() == '?' || peek() == '+') quantifier += in_[at_++];
      } else {
        return atom;
      }
      if (count > kMaxNesting) refuse("a row of quantifiers");
      if (count > 0) atom = fmt::format("(?:{})", atom);
      atom += quantifier;
    }
  }

  // The value of \x, \u or an octal escape, whose letter is taken.
  char32_t number_escape(char letter) {
    uint32_t value = 0;
    if (letter == 'x' && take("{")) {
      const std::string_view digits = take_until('}');
      if (digits.empty() || digits.size() > 6) refuse("a number of this length");
      for (char c : digits) {
        if (hex_value(c) < 0) refuse("a number that is not hexadecimal");
        value = value * 16 + static_cast<uint32_t>(hex_value(c));
      }
      return value;
    }
    const size_t most = letter == 'u' ? 4 : 2;
    const int base = letter == '0' ? 8 : 16;
    size_t count = 0;
    for (; count < most && hex_value(peek()) >= 0 && hex_value(peek()) < base; ++count)
      value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(hex_value(in_[at_++]));
    if ((letter == 'u' && count < 4) || (letter == 'x' && count == 0)) refuse("such a number");
    return letter == 'x' && value >= 0x80 ? utf8_bytes(static_cast<unsigned char>(value)) : value;
  }

  // \xE2\x96\x81 spells the bytes of one character.
  char32_t utf8_bytes(unsigned char first) {
    std::string bytes(1, static_cast<char>(first));
    while (!is_utf8(bytes)) {
      if (bytes.size() == 4 || !take("\\x") || hex_value(peek()) < 0 || hex_value(peek(1)) < 0)
        refuse("bytes that are no UTF-8");
      bytes += static_cast<char>(hex_value(peek()) * 16 + hex_value(peek(1)));
      at_ += 2;
    }
    return character_at(bytes, 0).point;
  }

  // Character of an escape whose backslash and letter are taken; false: not of this kind.
  bool character_escape(char letter, bool inside, char32_t& out) {
    static const std::map<char, char32_t> kControls{
        {'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'f', '\f'}, {'v', '\v'}, {'a', '\a'}, {'e', 0x1B}};
    if (const auto found = kControls.find(letter); found != kControls.end()) {
      out = found->second;
    } else if (inside && letter == 'b') {
      out = 0x08;
    } else if (letter == 'x' || letter == 'u' || letter == '0') {
      out = number_escape(letter);
      if (out > 0x10FFFF || (out >= 0xD800 && out < 0xE000)) refuse("a number beyond Unicode");
    } else if (!is_letter(letter) && !is_digit(letter)) {
      --at_;
      out = take_character();
    } else {
      return false;
    }
    return true;
  }

  // The items of \w, \p{L} and others, `negated` for those of a complement; false: no such escape.
  bool set_escape(char letter, std::string& items, bool& negated) {
    negated = letter == 'D' || letter == 'S' || letter == 'W' || letter == 'H' || letter == 'P';
    switch (letter) {
      case 'd':
      case 'D':
        items = R"(\p{Nd})";
        return true;
      case 's':
      case 'S':
        items = kSpaces;
        return true;
      case 'w':
      case 'W':
        items = kWord;
        return true;
      case 'h':
      case 'H':
        items = kHex;
        return true;
      case 'p':
      case 'P':
        if (!take("{")) refuse("a property without braces");
        if (take("^")) negated = !negated;
        items = property(take_until('}'));
        return true;
      default:
        return false;
    }
  }

  std::string property(std::string_view spelled) const {
    std::string key;
    for (char c : spelled) {
      if (is_letter(c)) key += static_cast<char>(c | 0x20);
      if (!is_letter(c) && c != '_' && c != ' ' && c != '-') refuse("such a property");
    }
    if (is_category(key)) {
      key[0] = static_cast<char>(key[0] & ~0x20);
      return fmt::format("\\p{{{}}}", key);
    }
    const std::string items = named_items(key);
    return items.empty() ? fmt::format("\\p{{sc:{}}}", key) : items;
  }

  std::string escape() {
    const char letter = peek();
    if (done()) refuse("a pattern that is cut off");
    ++at_;
    const std::string word = in_class(kWordAlone);
    if (letter == 'b') return fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word);
    if (letter == 'B') return fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word);
    if (letter == 'A' || letter == 'Z' || letter == 'z' || letter == 'R' || letter == 'X')
      return {'\\', letter};
    if ((letter == 'k' || letter == 'g') && take("<"))
      return fmt::format("\\{}<{}>", letter, take_until('>'));
    if (letter >= '1' && letter <= '9') {
      std::string number(1, letter);
      while (is_digit(peek())) number += in_[at_++];
      return fmt::format("\\g{{{}}}", number);
    }
    std::string items;
    bool negated = false;
    if (letter == 'w') return word;
    if (letter == 'W') return outside_class(kWordAlone);
    if (set_escape(letter, items, negated)) return negated ? outside_class(items) : in_class(items);
    char32_t c = 0;
    if (!character_escape(letter, false, c)) refuse("an escape of this letter");
    return literal(c);
  }

  // After "[": up to its "]".
  std::string char_class(int depth) {
    if (depth > kMaxNesting) refuse("a class nested so deeply");
    const bool negated = take("^");
    std::vector<std::string> operands;
    Union current;
    bool is_first = true;
    while (true) {
      if (done()) refuse("a pattern that is cut off");
      if (peek() == ']' && !is_first) break;
      is_first = false;
      if (take("&&")) {
        operands.push_back(current.pattern(false));
        current = {};
      } else {
        class_item(current, depth);
      }
    }
    ++at_;
    if (operands.empty()) return current.pattern(negated);
    std::string all;
    for (const std::string& one : operands) all += fmt::format("(?={})", one);
    all += current.pattern(false);
    return negated ? fmt::format("(?:(?!{})(?s:.))", all) : fmt::format("(?:{})", all);
  }

  void class_item(Union& out, int depth) {
    const auto add = [&](const std::string& items, bool negated) {
      negated ? out.patterns.push_back(outside_class(items)) : void(out.items += items);
    };
    if (take("[:")) {
      const bool negated = take("^");
      const std::string_view posix = take_until(':');
      const std::string items = named_items(std::string(posix));
      if (items.empty() || !take("]")) refuse("a POSIX class of this name");
      add(items, negated);
      return;
    }
    if (take("[")) {
      out.patterns.push_back(char_class(depth + 1));
      return;
    }
    std::string items;
    bool negated = false;
    if (peek() == '\\' && set_item(items, negated)) {
      add(items, negated);
      return;
    }
    const char32_t low = class_character();
    const bool is_range = peek() == '-' && peek(1) != ']' && peek(1) != '[' &&
                          !(peek(1) == '&' && peek(2) == '&') && !set_follows(1);
    if (!is_range) {
      out.items += literal(low);
      return;
    }
    ++at_;
    const char32_t high = class_character();
    if (high < low) refuse("a range of this order");
    out.items += literal(low) + "-" + literal(high);
  }

  bool set_follows(size_t ahead) const {
    static constexpr std::string_view kSets = "dDsSwWhHpP";
    return peek(ahead) == '\\' && peek(ahead + 1) != '\0' &&
           kSets.find(peek(ahead + 1)) != std::string_view::npos;
  }
  bool set_item(std::string& items, bool& negated) {
    if (!set_follows(0)) return false;
    const char letter = peek(1);
    at_ += 2;
    return set_escape(letter, items, negated);
  }
  char32_t class_character() {
    if (!take("\\")) return take_character();
    if (done()) refuse("a pattern that is cut off");
    const char letter = in_[at_++];
    char32_t c = 0;
    if (!character_escape(letter, true, c)) refuse("an escape of this letter");
    return c;
  }

  std::string_view in_;
  const std::string& name_;
  size_t at_ = 0;
};

}  // namespace

std::string translate_ruby_regex(std::string_view pattern, const std::string& name) {
  return RubyRegex(pattern, name).translate();
}

}  // namespace etrlrec
