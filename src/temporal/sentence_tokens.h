// English text as words, numbers and titles between double quotes, for reading sentences.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "temporal/claims.h"
#include "temporal/gaps.h"

namespace etrlrec {

struct SentenceToken {
  enum Kind : int8_t { kWord, kTitle, kNumber };
  Kind kind = kWord;
  std::string text;                  // as written, titles without their quotes
  std::string lower;                 // in lower case (ASCII)
  double value = 0, resolution = 0;  // of a number: 2.1 has a resolution of 0.1
  bool after_comma = false;          // a comma or semicolon stands before it
  bool ends_sentence = false;        // a full stop, ! ? or the end of a line stands behind it
  size_t begin = 0, end = 0;         // bytes of the text, with the quotes of a title
};
// Without articles. Numbers are digits with at most one point, or words up to "twelve"; "once" is
// "1 times", "%" is "percent". A quote that is not closed in its line opens nothing.
std::vector<SentenceToken> sentence_tokens(std::string_view text);

bool is_emphasis(const SentenceToken& token);     // "very", "clearly": may stand anywhere
bool is_opening(const SentenceToken& token);      // "so", "but", "also": may begin a sentence
bool is_conjunction(const SentenceToken& token);  // "and", "but", "so": may join two sentences

// A time in one unit, "no time", "40 minutes", "a day", "5 months".
std::string duration_text(int64_t seconds);

struct Duration {
  GapBucket bucket = GapBucket::kTie;
  std::optional<StatedNumber> stated;  // in seconds; nothing for the words of a bucket
  size_t tokens = 0;
};
// "3 weeks", "about 3 weeks", "no time" or bucket_text() at the beginning of the tokens.
std::optional<Duration> find_duration(std::span<const SentenceToken> tokens);

// "no time" "minutes" "hours" "days" "weeks" "one to three months" "many months" "over a year": the
// words of natural time lines, too.
const char* bucket_text(GapBucket bucket);

}  // namespace etrlrec
