#include "temporal/claim_flip.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/strings.h"
#include "temporal/predicates.h"
#include "temporal/sentence_forms.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kOpposites{
    {{"up", "down"},
     {"down", "up"},
     {"steady", "up"},
     {"steady", "down"},
     {"explorer", "exploiter"},
     {"exploiter", "explorer"}}};

bool can_be_false(const Predicate& predicate) {
  return predicate.demand == Demand::kNothing || predicate.demand == Demand::kSequel ||
         predicate.demand == Demand::kLack;
}

bool decides(const Claim& claim) {
  for (const Predicate& predicate : predicate_table())
    if (predicate.name == claim.predicate) return !can_be_false(predicate);
  return false;
}

// Where the reasoning names first what decides: the decision's sentence, or its word by itself
// outside of the claims. Its end where it names nothing.
size_t named_decision(std::string_view reasoning, const PromptStyle& style,
                      std::span<const Claim> claims) {
  const Decision* decision = style.decision(reasoning);
  if (decision == nullptr) return reasoning.size();
  const size_t sentence = ascii_lower(reasoning).find(ascii_lower(decision->sentence));
  if (sentence != std::string::npos) return sentence;
  const auto is_edge = [&](size_t p) {
    return p >= reasoning.size() || reasoning[p] == ' ' || reasoning[p] == ')';
  };
  for (size_t at = reasoning.find(decision->word); at != std::string_view::npos;
       at = reasoning.find(decision->word, at + 1)) {
    const bool is_word = (at == 0 || is_edge(at - 1)) && is_edge(at + decision->word.size());
    const auto around = [at](const Claim& claim) { return claim.begin <= at && at < claim.end; };
    if (is_word && std::none_of(claims.begin(), claims.end(), around)) return at;
  }
  return reasoning.size();
}

bool holds_not(const Claim& claim, const ClaimContext& context) {
  const auto resolved = resolve_claim(claim, context);
  return resolved &&
         predicate_table()[resolved->index].evaluate(context, resolved->values) == Verdict::kFalse;
}

std::vector<JudgedClaim> judged_of(std::string_view text, const PromptStyle& style,
                                   const ClaimContext& context) {
  return judge_claims(style.read(text, context).claims, context, {});
}

// The claim in the style, fit for the place of [begin, end) of the text: claims do not span the
// article in front of them or the full stop behind them.
std::string words_in_place(const Claim& claim, const PromptStyle& style,
                           const ClaimContext& context, std::string_view text, size_t begin,
                           Rng& rng) {
  const Statement statement{claim, false};
  std::string words = style.reasoning({&statement, 1}, context, rng);
  words.erase(0, words.find_first_not_of(' '));
  if (words.ends_with('.')) words.pop_back();
  if (words.starts_with("The ") && ascii_lower(text.substr(0, begin)).ends_with("the "))
    words.erase(0, 4);
  if (!words.empty() && begin < text.size() && text[begin] >= 'a' && text[begin] <= 'z')
    words.replace(0, 1, ascii_lower(words.substr(0, 1)));
  return words;
}

// Claim `flipped` is false now and all others are what they were.
bool flips_only(size_t flipped, const std::vector<JudgedClaim>& before,
                const std::vector<JudgedClaim>& after) {
  if (before.size() != after.size()) return false;
  for (size_t i = 0; i < before.size(); ++i)
    if (after[i].verdict != (i == flipped ? Verdict::kFalse : before[i].verdict)) return false;
  return true;
}

}  // namespace

std::vector<Claim> false_claims(const Claim& claim, const ClaimContext& context, Rng& rng) {
  std::vector<Claim> found;
  const auto resolved = resolve_claim(claim, context);
  if (!resolved || !can_be_false(predicate_table()[resolved->index])) return found;
  const auto keep = [&](Claim other) {
    other.stated = std::nullopt;
    if (holds_not(other, context)) found.push_back(std::move(other));
  };
  const Predicate& predicate = predicate_table()[resolved->index];
  for (const auto& opposite : kOpposites) {
    if (opposite.first != claim.predicate) continue;
    Claim other = claim;
    other.predicate = opposite.second;
    keep(std::move(other));
  }
  if (predicate.name == "before") {
    Claim other = claim;
    std::swap(other.arguments[0], other.arguments[1]);
    keep(std::move(other));
  }
  for (size_t i = predicate.arity(); i-- > 0;) {
    const ArgumentKind kind = predicate.kinds[i];
    std::vector<int32_t> values;
    for (int64_t position = 0; position < argument_domain(kind, context); ++position)
      values.push_back(argument_value(kind, position, context));
    std::erase(values, resolved->values[i]);
    rng.shuffle(values);
    for (const int32_t value : values) {
      Claim other = claim;
      other.arguments[i] = argument_word(kind, value, context);
      keep(std::move(other));
    }
  }
  return found;
}

FlippedReasoning flip_claims(std::string_view reasoning, const PromptStyle& style,
                             const ClaimContext& context, Rng& rng) {
  FlippedReasoning result{std::string(reasoning)};
  std::vector<JudgedClaim> judged = judged_of(result.text, style, context);
  // From the last to the first, so that the places of those before stay.
  for (size_t i = judged.size(); i-- > 0;) {
    const auto resolved = resolve_claim(judged[i].claim, context);
    if (judged[i].verdict != Verdict::kTrue || !resolved ||
        !can_be_false(predicate_table()[resolved->index]))
      continue;
    ++result.claims;
    const size_t begin = judged[i].claim.begin, end = judged[i].claim.end;
    for (const Claim& other : false_claims(judged[i].claim, context, rng)) {
      std::string text = result.text;
      text.replace(begin, end - begin, words_in_place(other, style, context, text, begin, rng));
      std::vector<JudgedClaim> after = judged_of(text, style, context);
      if (!flips_only(i, judged, after)) continue;
      result.text = std::move(text);
      judged = std::move(after);
      ++result.flipped;
      break;
    }
  }
  return result;
}

std::optional<std::string_view> before_decision(std::string_view reasoning,
                                                const PromptStyle& style,
                                                const ClaimContext& context) {
  const std::vector<Claim> claims = style.read(reasoning, context).claims;
  size_t end = named_decision(reasoning, style, claims);
  for (const Claim& claim : claims)
    if (decides(claim)) end = std::min(end, claim.begin);
  if (end == reasoning.size()) return std::nullopt;
  std::string_view before = reasoning.substr(0, end);
  const auto drop_blanks = [&] { before = before.substr(0, before.find_last_not_of(' ') + 1); };
  drop_blanks();
  for (const std::string_view article : {" the", " a", " an"})
    if (ascii_lower(before).ends_with(article)) {
      before.remove_suffix(article.size());
      break;
    }
  drop_blanks();
  return before;
}

std::vector<std::string> decisions_in(std::string_view reasoning, const PromptStyle& style,
                                      const ClaimContext& context) {
  std::vector<std::string> found;
  if (const Decision* decision = style.decision(reasoning)) found.emplace_back(decision->word);
  for (const Claim& claim : style.read(reasoning, context).claims) {
    if (!decides(claim)) continue;
    std::string& text = found.emplace_back(claim.predicate + "(");
    for (const std::string& argument : claim.arguments) text += " " + argument;
    text += ")";
  }
  return found;
}

}  // namespace etrlrec
