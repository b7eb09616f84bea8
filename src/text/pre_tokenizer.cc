#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <deque>

#include "base/check.h"
#include "text/ascii_split.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

// Unicode White_Space, in the syntax of a PCRE2 class.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// \s and \S of a pattern, inside or outside of a class, written as White_Space.
std::string spell_white_space(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += in_class ? std::string(kWhiteSpace) : fmt::format("[{}]", kWhiteSpace);
      } else if (next == 'S') {
        out += fmt::format("[^{}]", kWhiteSpace);
      } else {
        out += {c, next};
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

// Whether NFC may change the character that starts with these bytes or what precedes it. False
// for what is most frequent and certainly stable: below U+0300, Cyrillic without marks, dashes and
// quotes, CJK, most Hangul syllables.
bool is_risky(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (first < 0xCC || first == 0xD0 || first == 0xD1) return false;
  if ((first >= 0xE4 && first <= 0xE9) || first == 0xEB || first == 0xEC) return false;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  return !(first == 0xE2 && byte(1) == 0x80 && byte(2) >= 0x90 && byte(2) <= 0xA7);
}

void append_nfc(std::string_view text, std::string& out) {
  utf8proc_uint8_t* buffer = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &buffer,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  CHECK(length >= 0, kInput, "text: normalisation failed: {}", utf8proc_errmsg(length));
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(length));
  std::free(buffer);
}

// NFC of valid UTF-8. Nothing composes across the place before an ASCII character, so only
// stretches of one ASCII character and the others after it are normalised, and only those with a
// risky one. False: unchanged, `out` is empty.
bool normalize(std::string_view text, std::string& out) {
  const auto is_ascii = [&](size_t i) { return static_cast<unsigned char>(text[i]) < 0x80; };
  size_t copied = 0;
  for (size_t i = 0; i < text.size();) {
    if (is_ascii(i)) {
      ++i;
      continue;
    }
    const size_t begin = i > 0 ? i - 1 : 0;
    bool risky = false;
    for (; i < text.size() && !is_ascii(i); ++i) risky = risky || is_risky(text.substr(i));
    if (!risky) continue;
    out.append(text, copied, begin - copied);
    append_nfc(text.substr(begin, i - begin), out);
    copied = i;
  }
  if (copied == 0) return false;
  out.append(text, copied, text.size() - copied);
  return true;
}

}  // namespace

// Compiled patterns are immutable; one per kind serves the whole program.
struct PreTokenizer::Code {
  pcre2_code* code = nullptr;
  decltype(&pcre2_match) match = nullptr;
  explicit Code(PatternKind kind) {
    const std::string pattern = spell_white_space(split_pattern(kind));
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, &error,
                         &offset, nullptr);
    CHECK(code != nullptr, kFailure, "PCRE2 refuses a split pattern at offset {}: error {}", offset,
          error);
    // Without JIT support in the library pcre2_match interprets the pattern: the same pieces,
    // slower.
    match = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0 ? pcre2_jit_match : pcre2_match;
  }
  ~Code() { pcre2_code_free(code); }
};

struct PreTokenizer::Scratch::Impl {
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 1 << 20, nullptr);
  std::deque<std::string> normalized;  // a deque: views into its strings stay valid
  Impl() { pcre2_jit_stack_assign(context, nullptr, stack); }
  ~Impl() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

PreTokenizer::Scratch::Scratch() : impl_(std::make_unique<Impl>()) {}
PreTokenizer::Scratch::~Scratch() = default;

PreTokenizer::PreTokenizer(PatternKind kind, bool normalize_nfc, bool use_ascii_path)
    : kind_(kind), normalize_nfc_(normalize_nfc), use_ascii_path_(use_ascii_path) {
  static const auto codes = [] {
    std::array<std::shared_ptr<const Code>, kNumPatternKinds> out;
    for (size_t i = 0; i < kNumPatternKinds; ++i)
      out[i] = std::make_shared<Code>(static_cast<PatternKind>(i));
    return out;
  }();
  code_ = codes[static_cast<size_t>(kind)];
}
PreTokenizer::~PreTokenizer() = default;

void PreTokenizer::split_valid(std::string_view text, Scratch& scratch,
                               std::vector<std::string_view>& pieces) const {
  auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(scratch.impl_->match);
  size_t position = 0;
  while (position < text.size()) {
    if (const size_t length = use_ascii_path_ ? ascii_piece(kind_, text, position) : 0) {
      pieces.push_back(text.substr(position, length));
      position += length;
      continue;
    }
    const int found = code_->match(code_->code, subject, text.size(), position, PCRE2_NO_UTF_CHECK,
                                   scratch.impl_->match, scratch.impl_->context);
    CHECK(found > 0 && range[1] > position, kInput,
          "text: cannot be split at byte {} (PCRE2 result {})", position, found);
    pieces.push_back(text.substr(position, range[1] - position));
    position = range[1];
  }
}

void PreTokenizer::split(std::string_view text, Scratch& scratch,
                         std::vector<std::string_view>& pieces) const {
  pieces.clear();
  scratch.impl_->normalized.clear();
  while (!text.empty()) {
    const size_t valid = valid_utf8_length(text);
    std::string_view part = text.substr(0, valid);
    if (normalize_nfc_) {
      std::string& normalized = scratch.impl_->normalized.emplace_back();
      if (normalize(part, normalized)) part = normalized;
    }
    split_valid(part, scratch, pieces);
    text.remove_prefix(valid);
    size_t invalid = 0;  // bytes up to the next character
    while (invalid < text.size() && utf8_length(text.substr(invalid)) == 0) ++invalid;
    if (invalid > 0) pieces.push_back(text.substr(0, invalid));
    text.remove_prefix(invalid);
  }
}

}  // namespace etrlrec
