#include "temporal/sentence_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/strings.h"

namespace etrlrec {
namespace {

constexpr std::array<std::string_view, 3> kArticles{"a", "an", "the"};
constexpr std::array<std::string_view, 9> kEmphasis{
    "very", "clearly", "really", "quite", "indeed", "rather", "just", "still", "usually"};
constexpr std::array<std::string_view, 10> kOpenings{
    "so", "and", "also", "but", "therefore", "thus", "then", "moreover", "besides", "hence"};
constexpr std::array<std::string_view, 4> kConjunctions{"and", "but", "so", "while"};
constexpr std::array<std::string_view, 13> kNumberWords{"zero", "one",    "two",   "three", "four",
                                                        "five", "six",    "seven", "eight", "nine",
                                                        "ten",  "eleven", "twelve"};
constexpr std::array<std::string_view, 4> kAbout{"about", "nearly", "almost", "roughly"};
constexpr std::array<const char*, kNumGapBuckets> kBucketTexts{
    "no time",     "minutes",    "hours", "days", "weeks", "one to three months",
    "many months", "over a year"};
struct DurationUnit {
  std::string_view word;
  double seconds;
  double until;  // longest time that is written in this unit, seconds
};
constexpr std::array kUnits{
    DurationUnit{"second", 1, 0},
    DurationUnit{"minute", 60, 90 * 60},
    DurationUnit{"hour", 3600, 22 * 3600},
    DurationUnit{"day", 86400, 13.5 * 86400},
    DurationUnit{"week", 7 * 86400, 8.5 * 7 * 86400},
    DurationUnit{"month", 30.4 * 86400, 23.5 * 30.4 * 86400},
    DurationUnit{"year", 365.25 * 86400, 1e18},
};
constexpr size_t kMaxWordLength = 128, kMaxTitleLength = 400;

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }
bool is_sentence_byte(char c) {
  return is_digit_byte(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '_' || c == '\'' || c == '#' || static_cast<unsigned char>(c) >= 0x80;
}
bool is_blank_byte(char c) { return c == ' ' || c == '\t' || c == '\r'; }

class TokenReader {
 public:
  explicit TokenReader(std::string_view text) : text_(text) {}

  std::vector<SentenceToken> read() {
    while (at_ < text_.size()) step();
    return std::move(tokens_);
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '"' && read_title()) return;
    if (is_sentence_byte(c)) return read_word();
    if (c == '%') return add(at_, at_ + 1, SentenceToken::kWord, "percent");
    if (c == ',' || c == ';') comma_ = true;
    const bool stop = c == '.' || c == '!' || c == '?';
    const bool before_blank = at_ + 1 == text_.size() || is_blank_byte(text_[at_ + 1]) ||
                              text_[at_ + 1] == '\n' || text_[at_ + 1] == '"';
    if ((c == '\n' || (stop && before_blank)) && !tokens_.empty())
      tokens_.back().ends_sentence = true;
    ++at_;
  }

  bool read_title() {
    const size_t limit = std::min(text_.size(), at_ + 1 + kMaxTitleLength);
    const size_t close = text_.substr(0, limit).find_first_of("\"\n", at_ + 1);
    if (close == std::string_view::npos || text_[close] == '\n' || close == at_ + 1) return false;
    add(at_, close + 1, SentenceToken::kTitle, std::string(text_.substr(at_ + 1, close - at_ - 1)));
    return true;
  }

  void read_word() {
    size_t end = at_;
    while (end < text_.size() && is_sentence_byte(text_[end])) ++end;
    const bool digits = std::all_of(text_.begin() + static_cast<int64_t>(at_),
                                    text_.begin() + static_cast<int64_t>(end), is_digit_byte);
    if (digits && end + 1 < text_.size() && text_[end] == '.' && is_digit_byte(text_[end + 1])) {
      ++end;
      while (end < text_.size() && is_digit_byte(text_[end])) ++end;
    }
    const std::string word(text_.substr(at_, std::min(end - at_, kMaxWordLength)));
    const std::string lower = ascii_lower(word);
    if (digits && word.size() <= 24) return add_number(end, word);
    if (lower == "once" || lower == "twice") {
      const size_t begin = at_;
      add_number(end, lower == "once" ? "1" : "2");
      add(begin, end, SentenceToken::kWord, "times");
      return;
    }
    const auto number =
        std::find(kNumberWords.begin(), kNumberWords.end(), std::string_view(lower));
    if (number != kNumberWords.end())
      return add_number(end, std::to_string(number - kNumberWords.begin()));
    if (is_one_of(kArticles, lower)) {
      at_ = end;
      return;
    }
    add(at_, end, SentenceToken::kWord, word);
  }

  void add_number(size_t end, const std::string& word) {
    const size_t point = word.find('.');
    double value = 0;
    std::from_chars(word.data(), word.data() + word.size(), value);
    add(at_, end, SentenceToken::kNumber, word);
    tokens_.back().value = value;
    tokens_.back().resolution = point == std::string::npos
                                    ? 1
                                    : std::pow(10.0, -static_cast<double>(word.size() - point - 1));
  }

  void add(size_t begin, size_t end, SentenceToken::Kind kind, std::string text) {
    SentenceToken token;
    token.kind = kind, token.text = std::move(text);
    token.lower = ascii_lower(token.text);
    token.after_comma = comma_;
    token.begin = begin, token.end = end;
    tokens_.push_back(std::move(token));
    comma_ = false;
    at_ = end;
  }

  const std::string_view text_;
  size_t at_ = 0;
  bool comma_ = false;
  std::vector<SentenceToken> tokens_;
};

// The words of bucket_text() as tokens.
std::optional<Duration> find_bucket(std::span<const SentenceToken> tokens) {
  static const auto kTexts = [] {
    std::array<std::vector<SentenceToken>, kNumGapBuckets> texts;
    for (size_t b = 0; b < texts.size(); ++b) texts[b] = sentence_tokens(kBucketTexts[b]);
    return texts;
  }();
  for (size_t b = 0; b < kTexts.size(); ++b) {
    const auto& text = kTexts[b];
    if (text.size() <= tokens.size() &&
        std::equal(text.begin(), text.end(), tokens.begin(),
                   [](const auto& x, const auto& y) { return x.lower == y.lower; }))
      return Duration{static_cast<GapBucket>(b), std::nullopt, text.size()};
  }
  return std::nullopt;
}

}  // namespace

std::vector<SentenceToken> sentence_tokens(std::string_view text) {
  return TokenReader(text).read();
}

bool is_emphasis(const SentenceToken& token) { return is_one_of(kEmphasis, token.lower); }
bool is_opening(const SentenceToken& token) { return is_one_of(kOpenings, token.lower); }
bool is_conjunction(const SentenceToken& token) { return is_one_of(kConjunctions, token.lower); }

const char* bucket_text(GapBucket bucket) { return kBucketTexts.at(static_cast<size_t>(bucket)); }

std::string duration_text(int64_t seconds) {
  if (seconds < 30) return bucket_text(GapBucket::kTie);
  const auto length = static_cast<double>(seconds);
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                 [&](const DurationUnit& u) { return length <= u.until; });
  const double count = std::max(1.0, std::round(length / unit->seconds));
  if (count == 1) return fmt::format("{} {}", unit->word == "hour" ? "an" : "a", unit->word);
  return fmt::format("{:.0f} {}s", count, unit->word);
}

std::optional<Duration> find_duration(std::span<const SentenceToken> tokens) {
  if (const auto bucket = find_bucket(tokens)) return bucket;
  size_t at = !tokens.empty() && is_one_of(kAbout, tokens[0].lower) ? 1 : 0;
  if (at >= tokens.size()) return std::nullopt;
  // "a week": the article is not among the tokens.
  double count = 1, resolution = 1;
  if (tokens[at].kind == SentenceToken::kNumber) {
    count = tokens[at].value, resolution = tokens[at].resolution;
    if (++at == tokens.size()) return std::nullopt;
  }
  const std::string_view word = tokens[at].lower;
  for (const DurationUnit& unit : kUnits) {
    const bool plural = word.size() == unit.word.size() + 1 && word.back() == 's';
    if (word.substr(0, unit.word.size()) != unit.word || !(plural || word == unit.word)) continue;
    const double seconds = count * unit.seconds;
    if (seconds > 4e11) return std::nullopt;
    return Duration{gap_bucket(static_cast<int64_t>(seconds)),
                    StatedNumber{seconds, resolution * unit.seconds}, at + 1};
  }
  return std::nullopt;
}

}  // namespace etrlrec
