#include "text/text_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "base/check.h"
#include "text/characters.h"
#include "text/regex_syntax.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

// Steps of one search; a search over a text of ordinary length takes a few a character.
constexpr size_t kMaxReplaced = size_t{1} << 28;
constexpr uint32_t kMaxSteps = 2'000'000;

// What PCRE2 needs for a search; one a thread.
struct Search {
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr);
  Search() {
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_match_limit(context, kMaxSteps);
    pcre2_set_heap_limit(context, 64 << 10);  // KiB
  }
  ~Search() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  Search(const Search&) = delete;
};

// Appends the stretch before a match and the match.
void append_match(TextRanges& out, size_t begin, size_t end) {
  const size_t done = out.empty() ? 0 : out.back().end;
  if (begin > done) out.push_back({done, begin, false});
  out.push_back({begin, end, true});
}

void append_rest(TextRanges& out, size_t size) {
  const size_t done = out.empty() ? 0 : out.back().end;
  if (size > done) out.push_back({done, size, false});
}

}  // namespace

struct TextPattern::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

TextPattern TextPattern::of_text(std::string text) {
  TextPattern out;
  out.text_ = std::move(text);
  return out;
}

TextPattern TextPattern::of_regex(std::string_view pattern, const std::string& name) {
  const std::string translated = translate_ruby_regex(pattern, name);
  auto code = std::make_shared<Code>();
  int error = 0;
  PCRE2_SIZE offset = 0;
  const auto compile_context =
      std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)>(
          pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(compile_context.get(), PCRE2_NEWLINE_LF);
  code->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
      &error, &offset, compile_context.get());
  if (code->code == nullptr) {
    std::string reason(256, '\0');
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(reason.data()), reason.size());
    reason.resize(reason.find('\0'));
    fail(ExitCode::kInput, "{}: regular expression {}: {}", name, pattern, reason);
  }
  // Without JIT support in the library pcre2_match interprets the pattern.
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);
  TextPattern out;
  out.code_ = std::move(code);
  return out;
}

TextRanges TextPattern::find(std::string_view text) const {
  TextRanges out;
  if (code_ == nullptr) {
    size_t at = text_.empty() ? std::string_view::npos : text.find(text_);
    for (; at != std::string_view::npos; at = text.find(text_, at + text_.size()))
      append_match(out, at, at + text_.size());
    append_rest(out, text.size());
    return out;
  }
  thread_local const Search search;
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(search.match);
  for (size_t from = 0; from <= text.size();) {
    const int found =
        pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                    PCRE2_NO_UTF_CHECK, search.match, search.context);
    if (found == PCRE2_ERROR_NOMATCH) break;
    CHECK(found >= 0, kInput,
          "text: a regular expression of the tokenizer takes too many steps at byte {} (PCRE2 "
          "result {})",
          from, found);
    const size_t begin = std::min(range[0], range[1]), end = range[1];
    if (begin == end && !out.empty() && out.back().end == end) {
      from += from < text.size() ? character_at(text, from).length : 1;
      continue;
    }
    append_match(out, begin, end);
    from = end;
  }
  append_rest(out, text.size());
  return out;
}

std::string TextPattern::replaced(std::string_view text, std::string_view content) const {
  if (code_ != nullptr && !is_utf8(text)) return std::string(text);
  std::string out;
  for (const TextRange& range : find(text)) {
    CHECK(out.size() <= kMaxReplaced, kInput, "text: replacements make more than {} bytes of it",
          kMaxReplaced);
    out += range.is_match ? content : text.substr(range.begin, range.end - range.begin);
  }
  return out;
}

TextRanges find_characters(std::string_view text, const std::function<bool(char32_t)>& matches) {
  TextRanges out;
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    if (matches(next.point)) append_match(out, i, i + next.length);
    i += next.length;
  }
  append_rest(out, text.size());
  return out;
}

std::vector<std::pair<size_t, size_t>> split_ranges(const TextRanges& ranges,
                                                    SplitBehavior behavior) {
  using enum SplitBehavior;
  std::vector<std::pair<size_t, size_t>> out;
  bool previous = false;  // whether the range before was a match
  const auto merge = [&](const TextRange& range, bool joins) {
    if (joins && !out.empty()) {
      out.back() = {std::min(out.back().first, range.begin),
                    std::max(out.back().second, range.end)};
    } else {
      out.emplace_back(range.begin, range.end);
    }
    previous = range.is_match;
  };
  if (behavior == kMergedWithNext) {
    for (auto range = ranges.rbegin(); range != ranges.rend(); ++range)
      merge(*range, range->is_match && !previous);
    std::reverse(out.begin(), out.end());
  } else {
    for (const TextRange& range : ranges) {
      if (behavior == kRemoved && range.is_match) continue;
      merge(range, (behavior == kMergedWithPrevious && range.is_match && !previous) ||
                       (behavior == kContiguous && range.is_match == previous));
    }
  }
  std::erase_if(out, [](const auto& piece) { return piece.first == piece.second; });
  return out;
}

}  // namespace etrlrec
