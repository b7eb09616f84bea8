#include "text/ascii_split.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace etrlrec {
namespace {

enum Class : uint8_t { kLetter, kNumber, kNewline, kSpace, kOther, kBeyond, kEnd };

constexpr std::array<Class, 256> make_classes() {
  std::array<Class, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const int lower = c | 0x20;
    classes[static_cast<size_t>(c)] = c >= 0x80                        ? kBeyond
                                      : lower >= 'a' && lower <= 'z'   ? kLetter
                                      : c >= '0' && c <= '9'           ? kNumber
                                      : c == '\r' || c == '\n'         ? kNewline
                                      : c == ' ' || (c >= 9 && c < 14) ? kSpace
                                                                       : kOther;
  }
  return classes;
}
constexpr std::array<Class, 256> kClasses = make_classes();

class Cursor {
 public:
  Cursor(PatternKind kind, std::string_view text, size_t position)
      : kind_(kind), text_(text), begin_(position) {}

  size_t piece() const {
    const Class first = at(begin_);
    if (first == kBeyond) return 0;
    if (text_[begin_] == '\'') {
      if (at(begin_ + 1) == kBeyond) return 0;  // a long s counts as an s
      if (const size_t length = contraction()) return length;
    }
    return follows_gpt2() ? gpt2_piece(first) : later_piece(first);
  }

 private:
  Class at(size_t i) const {
    return i < text_.size() ? kClasses[static_cast<unsigned char>(text_[i])] : kEnd;
  }
  bool follows_gpt2() const { return kind_ == PatternKind::kGpt2 || kind_ == PatternKind::kDigits; }
  static bool is_white(Class c) { return c == kNewline || c == kSpace; }

  // 's|'t|'re|'ve|'m|'ll|'d; only GPT-2's patterns mind the case.
  size_t contraction() const {
    const auto letter = [&](size_t i) {
      const char c = begin_ + i < text_.size() ? text_[begin_ + i] : '\0';
      return !follows_gpt2() && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    const char a = letter(1), b = letter(2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
  }

  // End of the run of one class from `i`, at most `limit` characters.
  size_t run(Class wanted, size_t i, size_t limit = SIZE_MAX) const {
    const size_t end = limit < text_.size() - i ? i + limit : text_.size();
    while (i < end && kClasses[static_cast<unsigned char>(text_[i])] == wanted) ++i;
    return i;
  }
  // A piece that ends at `end`; unknown where the next character might belong to it.
  size_t closed(size_t end) const { return at(end) == kBeyond ? 0 : end - begin_; }

  //  ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+; a numeral is a piece of its own with kDigits.
  size_t gpt2_piece(Class first) const {
    const bool single = kind_ == PatternKind::kDigits;
    if (single && first == kNumber) return 1;
    const size_t start = begin_ + (text_[begin_] == ' ' ? 1 : 0);
    const Class head = start == begin_ ? first : at(start);
    if (head == kBeyond) return 0;
    if (head == kEnd || is_white(head) || (single && head == kNumber)) return white_piece(false);
    return closed(run(head, start));
  }

  // [^\r\n\p{L}\p{N}]?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
  size_t later_piece(Class first) const {
    if (first == kLetter) return closed(run(kLetter, begin_));
    if (first == kNumber) return number_piece(begin_);
    if (first == kNewline) return white_piece(true);
    const Class second = at(begin_ + 1);
    if (second == kBeyond) return 0;
    if (second == kLetter) return closed(run(kLetter, begin_ + 1));
    const bool is_blank = text_[begin_] == ' ';
    if (is_blank && second == kNumber && kind_ == PatternKind::kSpacedNumbers)
      return number_piece(begin_ + 1);
    if (first == kOther || (is_blank && second == kOther)) {
      const size_t end = run(kOther, begin_ + (is_blank ? 1 : 0));
      return at(end) == kBeyond ? 0 : run(kNewline, end) - begin_;
    }
    return white_piece(true);
  }

  size_t number_piece(size_t start) const {
    const size_t limit = kind_ == PatternKind::kQwen2 ? 1 : 3;
    const size_t end = run(kNumber, start, limit);
    return end - start == limit ? end - begin_ : closed(end);
  }

  // \s*[\r\n]+ (where the pattern has it) |\s+(?!\S)|\s+
  size_t white_piece(bool newlines_end) const {
    size_t end = begin_, after_newline = begin_;
    for (; is_white(at(end)); ++end)
      if (at(end) == kNewline) after_newline = end + 1;
    if (at(end) == kBeyond) return 0;
    if (newlines_end && after_newline > begin_) return after_newline - begin_;
    // The last space goes to the word after it.
    const bool alone = at(end) == kEnd || (kind_ == PatternKind::kDigits && at(end) == kNumber);
    return alone ? end - begin_ : std::max<size_t>(1, end - begin_ - 1);
  }

  PatternKind kind_;
  std::string_view text_;
  size_t begin_;
};

}  // namespace

size_t ascii_piece(PatternKind kind, std::string_view text, size_t position) {
  return Cursor(kind, text, position).piece();
}

}  // namespace etrlrec
