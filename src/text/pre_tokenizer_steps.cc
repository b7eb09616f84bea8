#include "text/pre_tokenizer_steps.h"

#include <map>

#include "base/check.h"
#include "base/json.h"
#include "text/characters.h"
#include "text/pipeline_json.h"
#include "text/split_patterns.h"
#include "text/text_pattern.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

using FindRanges = std::function<TextRanges(std::string_view)>;

// Cuts every piece around what `find` finds.
PreTokenizerStep cutter(FindRanges find, SplitBehavior behavior) {
  return [find = std::move(find), behavior](std::vector<Piece>& pieces) {
    std::vector<Piece> out;
    for (const Piece& piece : pieces)
      for (const auto& [begin, end] : split_ranges(find(piece.text), behavior))
        out.push_back(piece.cut(begin, end));
    pieces = std::move(out);
  };
}

PreTokenizerStep character_cutter(std::function<bool(char32_t)> matches, SplitBehavior behavior) {
  return cutter([matches = std::move(matches)](
                    std::string_view text) { return find_characters(text, matches); },
                behavior);
}

SplitBehavior read_behavior(const Json& step, const std::string& fallback,
                            const std::string& name) {
  static const std::map<std::string, SplitBehavior> kBehaviors{
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const auto spelled = get_or<std::string>(step, "behavior", fallback, name);
  const auto found = kBehaviors.find(spelled);
  CHECK(found != kBehaviors.end(), kInput,
        "{}: pre_tokenizer {}: behavior {} is not supported; known: Removed, Isolated, "
        "MergedWithPrevious, MergedWithNext, Contiguous",
        name, type_of(step), spelled);
  return found->second;
}

PreTokenizerStep cut_at_pattern(const Json& step, const std::string& name) {
  const bool invert = get_or<bool>(step, "invert", false, name);
  return cutter(
      [pattern = read_pattern(step, name), invert](std::string_view text) {
        TextRanges ranges = pattern.find(text);
        if (invert)
          for (TextRange& range : ranges) range.is_match = !range.is_match;
        return ranges;
      },
      read_behavior(step, "", name));
}

// For every piece on its own.
PreTokenizerStep changer(std::function<void(Piece&)> change) {
  return [change = std::move(change)](std::vector<Piece>& pieces) {
    for (Piece& piece : pieces) change(piece);
  };
}

std::vector<PreTokenizerStep> cut_like_gpt2(const Json& step, const std::string& name) {
  std::vector<PreTokenizerStep> out;
  if (get_or<bool>(step, "add_prefix_space", true, name))
    out.push_back(changer([](Piece& piece) {
      if (!piece.text.starts_with(' ')) piece.prepend(" ");
    }));
  if (get_or<bool>(step, "use_regex", true, name))
    out.push_back(cutter([pattern = TextPattern::of_regex(split_pattern(PatternKind::kGpt2), name)](
                             std::string_view text) { return pattern.find(text); },
                         SplitBehavior::kIsolated));
  out.push_back(changer(to_visible_bytes));
  return out;
}

std::vector<PreTokenizerStep> cut_at_marks(const Json& step, const std::string& name) {
  std::string scheme;
  const std::string mark = read_metaspace(step, scheme, name);
  const TextPattern marks = TextPattern::of_text(mark), spaces = TextPattern::of_text(" ");
  std::vector<PreTokenizerStep> out;
  out.push_back(changer([=](Piece& piece) {
    replace_matches(piece, spaces, mark);
    const bool prepends = scheme == "always" || (scheme == "first" && piece.is_at_start);
    if (prepends && !piece.text.starts_with(mark)) piece.prepend(mark);
  }));
  if (get_or<bool>(step, "split", true, name))
    out.push_back(cutter([marks](std::string_view text) { return marks.find(text); },
                         SplitBehavior::kMergedWithNext));
  return out;
}

// Runs of word characters, and runs of others; white space is left out.
TextRanges find_words(std::string_view text) {
  enum class Kind { kWord, kOther, kSpace };
  TextRanges out;
  Kind previous = Kind::kSpace;
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    const Kind kind = is_word_character(next.point) ? Kind::kWord
                      : is_white_space(next.point)  ? Kind::kSpace
                                                    : Kind::kOther;
    if (i > 0 && kind == previous) {
      out.back().end += next.length;
    } else {
      out.push_back({i, i + next.length, kind == Kind::kSpace});
    }
    previous = kind;
    i += next.length;
  }
  return out;
}

TextRanges find_fixed(std::string_view text, size_t length) {
  TextRanges out;
  for (size_t i = 0, count = 0; i < text.size(); ++count) {
    const Character next = character_at(text, i);
    if (count % length == 0) out.push_back({i, i, false});
    out.back().end = i += next.length;
  }
  return out;
}

std::vector<PreTokenizerStep> read_pre_tokenizer_step(const Json& step, const std::string& name) {
  using enum SplitBehavior;
  const std::string type = type_of(step);
  if (type == "Split") return {cut_at_pattern(step, name)};
  if (type == "ByteLevel") return cut_like_gpt2(step, name);
  if (type == "Metaspace") return cut_at_marks(step, name);
  if (type == "Digits")
    return {character_cutter(is_numeric, get_or<bool>(step, "individual_digits", false, name)
                                             ? kIsolated
                                             : kContiguous)};
  if (type == "Whitespace") return {cutter(find_words, kRemoved)};
  if (type == "WhitespaceSplit") return {character_cutter(is_white_space, kRemoved)};
  if (type == "Punctuation")
    return {character_cutter(is_punctuation, read_behavior(step, "Isolated", name))};
  if (type == "BertPreTokenizer")
    return {character_cutter(is_white_space, kRemoved),
            character_cutter(is_punctuation, kIsolated)};
  if (type == "CharDelimiterSplit") {
    const char32_t delimiter = character_at(read_character(step, "delimiter", "", name), 0).point;
    return {character_cutter([delimiter](char32_t c) { return c == delimiter; }, kRemoved)};
  }
  if (type == "FixedLength") {
    const auto length = get_or<int64_t>(step, "length", 5, name);
    CHECK(length > 0, kInput, "{}: FixedLength: expected a positive length, found {}", name,
          length);
    return {cutter(
        [length](std::string_view text) { return find_fixed(text, static_cast<size_t>(length)); },
        kIsolated)};
  }
  refuse_type("pre_tokenizer", step,
              "Sequence, Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit, "
              "Punctuation, BertPreTokenizer, CharDelimiterSplit, FixedLength",
              name);
}

}  // namespace

std::vector<PreTokenizerStep> read_pre_tokenizer(const Json& pre_tokenizer,
                                                 const std::string& name) {
  std::vector<PreTokenizerStep> out;
  const Json root{{"pre_tokenizer", pre_tokenizer}};
  for (const Json& step : steps_of(root, "pre_tokenizer", "pretokenizers", name))
    for (PreTokenizerStep& part : read_pre_tokenizer_step(step, name))
      out.push_back(std::move(part));
  return out;
}

}  // namespace etrlrec
