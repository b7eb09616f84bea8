#include "temporal/sentences.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/strings.h"
#include "temporal/claim_numbers.h"
#include "temporal/gaps.h"
#include "temporal/names.h"
#include "temporal/sentence_patterns.h"
#include "temporal/sentence_tokens.h"

namespace etrlrec {
namespace {

using enum ArgumentKind;
constexpr size_t kMaxClauseTokens = 64;  // longer ones fit no form

std::string quoted(const Catalogue& catalogue, int32_t item) {
  return fmt::format("\"{}\"", plain_title(catalogue.titles[static_cast<size_t>(item)]));
}

// A title that comes again later in the history names the later entry, so earlier ones are
// numbered.
std::string entry_text(const ClaimContext& context, size_t entry) {
  const auto& history = context.request.history;
  const std::string title = quoted(context.catalogue, history.at(entry));
  const bool again =
      std::any_of(history.begin() + static_cast<int64_t>(entry) + 1, history.end(),
                  [&](int32_t item) { return quoted(context.catalogue, item) == title; });
  return again ? fmt::format("{} (entry {})", title, entry + 1) : title;
}

std::string argument_text(const ResolvedClaim& claim, size_t i, const ClaimContext& context,
                          AttributeNames names) {
  const ArgumentKind kind = predicate_table()[claim.index].kinds[i];
  const int32_t value = claim.values[i];
  const auto& catalogue = context.catalogue;
  if (kind == kEntry || kind == kMoment) return entry_text(context, static_cast<size_t>(value));
  if (kind == kCandidate)
    return quoted(catalogue, context.request.candidates.at(static_cast<size_t>(value)));
  if (kind == kAttribute && names == AttributeNames::kFull)
    return catalogue.attributes.at(static_cast<size_t>(value));
  if (kind == kBucket) {  // how long it was, where the claim is right
    const auto number = claim_number(claim, context);
    const auto bucket = static_cast<GapBucket>(value);
    if (number && gap_bucket(static_cast<int64_t>(number->value)) == bucket)
      return duration_text(static_cast<int64_t>(number->value));
    return bucket_text(bucket);
  }
  return argument_word(kind, value, context);
}

// Whether the arguments that the form fixes are those of the claim.
bool fits(const SentencePattern& pattern, const ResolvedClaim& claim, const ClaimContext& context) {
  const Predicate& predicate = predicate_table()[claim.index];
  for (size_t i = 0; i < predicate.arity(); ++i) {
    const std::string word = argument_word(predicate.kinds[i], claim.values[i], context);
    if (pattern.fixed == i ? pattern.fixed_word != word
                           : predicate.kinds[i] == kMoment && word == "now")
      return false;
  }
  return true;
}

std::string rendered(const SentencePattern& pattern, const ResolvedClaim& claim,
                     const ClaimContext& context, AttributeNames names) {
  std::string text(pattern.text);
  const auto replace = [&](std::string_view slot, const std::string& by) {
    const size_t at = text.find(slot);
    if (at == std::string::npos) return;
    const std::string_view behind = std::string_view(text).substr(at + slot.size());
    const bool few = (by == "1" || by == "2") && behind.substr(0, 6) == " times";
    text.replace(at, slot.size() + (few ? 6 : 0), !few ? by : by == "1" ? "once" : "twice");
  };
  if (pattern.has_number) replace("{v}", rounded_text(*claim_number(claim, context)));
  // From the last to the first place in the text, so that a title that looks like a slot is kept.
  for (const size_t i : pattern.slots_from_behind())
    replace(kSlots[i], argument_text(claim, i, context, names));
  return ascii_capitalized(text);
}

// --- Reading

using Tokens = std::span<const SentenceToken>;

int32_t find_title(std::span<const int32_t> items, const Catalogue& catalogue,
                   std::string_view title, bool from_behind) {
  const auto same = [&](int32_t item) {
    return ascii_lower(plain_title(catalogue.titles[static_cast<size_t>(item)])) == title;
  };
  if (from_behind) {
    const auto found = std::find_if(items.rbegin(), items.rend(), same);
    return static_cast<int32_t>(items.rend() - found) - 1;
  }
  const auto found = std::find_if(items.begin(), items.end(), same);
  return found == items.end() ? -1 : static_cast<int32_t>(found - items.begin());
}

int32_t attribute_of(const Catalogue& catalogue, const SentenceToken& token) {
  const int32_t exact = find_attribute(catalogue, token.text);
  if (exact >= 0) return exact;
  for (size_t a = 0; a < catalogue.attributes.size(); ++a)
    if (catalogue.attributes[a].size() == token.lower.size() &&
        ascii_lower(attribute_word(catalogue, static_cast<int32_t>(a))) == token.lower)
      return static_cast<int32_t>(a);
  return -1;
}

class Matcher {
 public:
  Matcher(const Predicate& predicate, const SentencePattern& pattern, Tokens tokens,
          const ClaimContext& context)
      : predicate_(predicate), pattern_(pattern), tokens_(tokens), context_(context) {}

  std::optional<Claim> match() {
    size_t at = 0;
    for (const PatternPart& part : pattern_.parts) {
      while (at < tokens_.size() && !fits_here(part, at) && is_emphasis(tokens_[at])) ++at;
      const size_t used = at < tokens_.size() ? read(part, at) : 0;
      if (used == 0) return std::nullopt;
      at += used;
    }
    while (at < tokens_.size() && is_emphasis(tokens_[at])) ++at;
    if (at != tokens_.size()) return std::nullopt;
    return claim();
  }

 private:
  bool fits_here(const PatternPart& part, size_t at) const {
    return part.slot < 0 && tokens_[at].lower == part.word;
  }

  // Number of tokens that the part takes, 0: none fit.
  size_t read(const PatternPart& part, size_t at) {
    const SentenceToken& token = tokens_[at];
    if (part.slot == PatternPart::kWord) return token.lower == part.word;
    if (part.slot == PatternPart::kNumber) {
      if (token.kind != SentenceToken::kNumber) return 0;
      stated_ = StatedNumber{token.value, token.resolution};
      return 1;
    }
    return read_argument(static_cast<size_t>(part.slot), at);
  }

  size_t read_argument(size_t i, size_t at) {
    const SentenceToken& token = tokens_[at];
    std::string& out = arguments_[i];
    switch (predicate_.kinds[i]) {
      case kEntry:
      case kMoment:
        return read_entry(at, out);
      case kCandidate: {
        if (token.kind != SentenceToken::kTitle) return 0;
        const int32_t found =
            find_title(context_.request.candidates, context_.catalogue, token.lower, false);
        out = found < 0 ? "?" : fmt::format("{}", found + 1);
        return 1;
      }
      case kAttribute: {
        if (token.kind == SentenceToken::kTitle) return 0;
        const int32_t found = attribute_of(context_.catalogue, token);
        if (found < 0) return 0;
        out = attribute_word(context_.catalogue, found);
        return 1;
      }
      case kBucket:
        return read_duration(at, out);
      case kNumber:
      case kPlace:
        if (token.kind != SentenceToken::kNumber || token.value != std::floor(token.value))
          return 0;
        out = fmt::format("{:.0f}", token.value);
        return 1;
      case kSeason:
        if (find_season(token.lower) < 0) return 0;
        out = token.lower;
        return 1;
      case kStage:
      case kNone:
        break;
    }
    return 0;
  }

  size_t read_entry(size_t at, std::string& out) const {
    const auto n = context_.request.history.size();
    if (tokens_[at].lower == "last" && at + 1 < tokens_.size() &&
        tokens_[at + 1].lower == "choice") {
      out = fmt::format("{}", n);
      return 2;
    }
    if (tokens_[at].kind != SentenceToken::kTitle) return 0;
    if (at + 2 < tokens_.size() && tokens_[at + 1].lower == "entry" &&
        tokens_[at + 2].kind == SentenceToken::kNumber) {
      out = tokens_[at + 2].text;
      return 3;
    }
    const int32_t found =
        find_title(context_.request.history, context_.catalogue, tokens_[at].lower, true);
    out = found < 0 ? "?" : fmt::format("{}", found + 1);
    return 1;
  }

  // "3 weeks", "about 3 weeks", "no time", or the words of a bucket, "weeks".
  size_t read_duration(size_t at, std::string& out) {
    const auto duration = find_duration(tokens_.subspan(at));
    if (!duration) return 0;
    out = gap_word(duration->bucket);
    if (duration->stated) stated_ = duration->stated;
    return duration->tokens;
  }

  std::optional<Claim> claim() const {
    Claim claim{std::string(predicate_.name)};
    for (size_t i = 0; i < predicate_.arity(); ++i)
      claim.arguments.push_back(pattern_.fixed == i ? std::string(pattern_.fixed_word)
                                                    : arguments_[i]);
    claim.begin = tokens_.front().begin;
    claim.end = tokens_.back().end;
    claim.stated = stated_;
    return claim;
  }

  const Predicate& predicate_;
  const SentencePattern& pattern_;
  const Tokens tokens_;
  const ClaimContext& context_;
  std::array<std::string, 3> arguments_;
  std::optional<StatedNumber> stated_;
};

// A duration that agrees with the time between the two moments names their bucket, also where
// rounding crosses its end.
void settle_duration(Claim& claim, const ClaimContext& context) {
  if (claim.predicate != "gap" || !claim.stated) return;
  const auto resolved = resolve_claim(claim, context);
  if (!resolved) return;
  const auto number = claim_number(*resolved, context);
  if (number && agrees(claim.stated->value, claim.stated->resolution, *number))
    claim.arguments[2] = gap_word(gap_bucket(static_cast<int64_t>(number->value)));
}

std::optional<Claim> read_clause(Tokens tokens, const ClaimContext& context) {
  while (!tokens.empty() && is_opening(tokens.front())) tokens = tokens.subspan(1);
  if (tokens.empty() || tokens.size() > kMaxClauseTokens) return std::nullopt;
  for (const SentencePattern& pattern : sentence_patterns()) {
    const Predicate& predicate = predicate_table()[pattern.predicate];
    if (pattern.parts.size() > tokens.size()) continue;
    std::optional<Claim> claim = Matcher(predicate, pattern, tokens, context).match();
    if (!claim) continue;
    settle_duration(*claim, context);
    return claim;
  }
  return std::nullopt;
}

// The whole sentence, else what "and", "but", "so" or a comma join.
size_t read_sentence(Tokens tokens, const ClaimContext& context, std::vector<Claim>& claims) {
  if (auto whole = read_clause(tokens, context)) {
    claims.push_back(std::move(*whole));
    return 1;
  }
  size_t found = 0, begin = 0;
  for (size_t i = 1; i <= tokens.size(); ++i) {
    const bool end = i == tokens.size();
    if (!end && !(tokens[i].after_comma || is_conjunction(tokens[i]))) continue;
    if (auto clause = read_clause(tokens.subspan(begin, i - begin), context)) {
      claims.push_back(std::move(*clause));
      ++found;
      begin = i;
    } else if (end || tokens[i].after_comma) {
      begin = i;
    }
  }
  return found;
}

}  // namespace

std::string claim_sentence(const Claim& claim, const ClaimContext& context, AttributeNames names) {
  const auto resolved = resolve_claim(claim, context);
  if (!resolved) return {};
  for (const SentencePattern& pattern : sentence_patterns())
    if (pattern.predicate == resolved->index && !pattern.has_number &&
        fits(pattern, *resolved, context))
      return rendered(pattern, *resolved, context, names);
  return {};
}

std::string varied_sentence(const Claim& claim, const ClaimContext& context, Rng& rng) {
  const double drawn = rng.uniform();
  const auto resolved = resolve_claim(claim, context);
  if (!resolved) return {};
  const Predicate& predicate = predicate_table()[resolved->index];
  const bool numbered = predicate.evaluate(context, resolved->values) == Verdict::kTrue &&
                        claim_number(*resolved, context).has_value();
  std::vector<const SentencePattern*> fitting;
  for (const SentencePattern& pattern : sentence_patterns())
    if (pattern.predicate == resolved->index && (numbered || !pattern.has_number) &&
        fits(pattern, *resolved, context))
      fitting.push_back(&pattern);
  if (fitting.empty()) return {};
  const auto chosen = static_cast<size_t>(drawn * static_cast<double>(fitting.size()));
  return rendered(*fitting[std::min(chosen, fitting.size() - 1)], *resolved, context,
                  AttributeNames::kWords);
}

ReasoningReading read_sentences(std::string_view reasoning, const ClaimContext& context) {
  ReasoningReading reading;
  const std::vector<SentenceToken> tokens =
      sentence_tokens(reasoning.substr(0, kMaxReasoningBytes));
  for (size_t begin = 0; begin < tokens.size();) {
    size_t end = begin + 1;
    while (end < tokens.size() && !tokens[end - 1].ends_sentence) ++end;
    ++reading.sentences;
    const Tokens sentence = Tokens(tokens).subspan(begin, end - begin);
    begin = end;
    if (reading.claims.size() >= kMaxClaims) continue;
    reading.claim_sentences += read_sentence(sentence, context, reading.claims) > 0;
  }
  if (reading.claims.size() > kMaxClaims) reading.claims.resize(kMaxClaims);
  return reading;
}

}  // namespace etrlrec
