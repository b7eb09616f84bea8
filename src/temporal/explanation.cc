#include "temporal/explanation.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "temporal/claim_numbers.h"
#include "temporal/names.h"
#include "temporal/predicates.h"
#include "temporal/sentence_forms.h"
#include "temporal/sentences.h"

namespace etrlrec {
namespace {

bool is_wish(const ResolvedClaim& claim) {
  const Demand demand = predicate_table()[claim.index].demand;
  return demand == Demand::kNeed || demand == Demand::kAvoid || demand == Demand::kPick ||
         demand == Demand::kPrune || demand == Demand::kFollow;
}

std::string lower_first(std::string text) {
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z')
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

// The number says more precisely what the sentence says: it takes its place.
bool put_number(std::string& sentence, const std::string& number) {
  constexpr std::string_view kVague = "more often than usual", kUnit = "times as often as usual";
  const size_t at = sentence.find(kVague);
  if (at == sentence.npos || !number.ends_with(kUnit)) return false;
  sentence.replace(at, kVague.size(), number);
  return true;
}

// Whether what follows something is to the point now.
std::string last_choice_text(const ResolvedClaim& claim, const ClaimContext& context) {
  if (predicate_table()[claim.index].name != "trans" || context.request.history.empty()) return {};
  const int32_t attribute = claim.values[0];
  const bool holds = has_attribute(context.catalogue, context.request.history.back(), attribute);
  return fmt::format("the last choice {} {}", holds ? "was" : "was not",
                     context.catalogue.attributes[static_cast<size_t>(attribute)]);
}

ExplainedClaim explained(const JudgedClaim& judged, const std::optional<ResolvedClaim>& resolved,
                         std::string_view reasoning, const ClaimContext& context) {
  const Claim& claim = judged.claim;
  ExplainedClaim out;
  out.begin = claim.begin, out.end = claim.end;
  out.dimension = judged.dimension, out.verdict = judged.verdict;
  out.is_wish = resolved && is_wish(*resolved) && judged.verdict == Verdict::kTrue;
  if (resolved) {
    out.sentence = claim_sentence(claim, context, AttributeNames::kFull);
    out.is_known = !out.sentence.empty();
    const bool is_false = judged.verdict == Verdict::kFalse;
    if (const auto number = claim_number(*resolved, context))
      out.number = number_text(*number, *resolved, context);
    if (out.sentence.find(out.number) != std::string::npos ||
        (!is_false && put_number(out.sentence, out.number)))
      out.number.clear();
    // A count does not say why something is not the lasting taste: others lead.
    const bool refutes = predicate_table()[resolved->index].name != "long";
    if (is_false && refutes && !out.number.empty()) out.number = "in truth " + out.number;
    if (const std::string last = last_choice_text(*resolved, context); !last.empty())
      out.number += (out.number.empty() ? "" : "; ") + last;
  }
  if (out.sentence.empty())
    out.sentence = std::string(reasoning.substr(claim.begin, claim.end - claim.begin));
  return out;
}

// The predicate that a decision rests on.
struct Ground {
  std::string_view decision, predicate;
};
constexpr Ground kGrounds[] = {
    {"order", "trans"}, {"taste", "long"}, {"season", "season"}, {"mood", "short"}};

// Whether what the decision rests on was only claimed wrongly.
bool is_refuted(const Decision& decision, std::span<const JudgedClaim> claims) {
  bool any_false = false;
  for (const Ground& ground : kGrounds) {
    if (ground.decision != decision.word) continue;
    for (const JudgedClaim& judged : claims) {
      if (judged.claim.predicate != ground.predicate) continue;
      if (judged.verdict == Verdict::kTrue) return false;
      any_false |= judged.verdict == Verdict::kFalse;
    }
  }
  return any_false;
}

// "1, 3 and 4"
std::string listing(std::span<const size_t> numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == numbers.size() ? " and " : ", ", numbers[i]);
  return text;
}

// Which of the items shown have the attributes that are wished.
std::string list_text(std::span<const int32_t> shown, const std::vector<int32_t>& wished,
                      const Catalogue& catalogue) {
  if (shown.empty() || wished.empty()) return {};
  std::vector<size_t> fitting;
  for (size_t i = 0; i < shown.size(); ++i)
    if (std::all_of(wished.begin(), wished.end(),
                    [&](int32_t a) { return has_attribute(catalogue, shown[i], a); }))
      fitting.push_back(i + 1);
  std::string what;
  for (const int32_t attribute : wished)
    what += (what.empty() ? "" : " and ") + catalogue.attributes[static_cast<size_t>(attribute)];
  if (fitting.empty())
    return fmt::format("These reasons fit no item above, none is {}: they do not explain the list.",
                       what);
  if (fitting.size() == shown.size())
    return shown.size() == 1
               ? fmt::format("These reasons fit the item above ({}).", what)
               : fmt::format("These reasons fit all {} items above ({}).", shown.size(), what);
  return fmt::format("These reasons fit {} {} above ({}), not the others.",
                     fitting.size() == 1 ? "number" : "numbers", listing(fitting), what);
}

}  // namespace

const char* verdict_mark(Verdict verdict) {
  if (verdict == Verdict::kTrue) return "✓";
  return verdict == Verdict::kFalse ? "✗" : "?";
}

const char* dimension_heading(Dimension dimension) {
  switch (dimension) {
    case Dimension::kIS:
      return "Time and order";
    case Dimension::kIAT:
      return "What tends to follow";
    case Dimension::kUET:
      return "Taste";
    case Dimension::kLink:
      break;
  }
  return "About the items to choose from";
}

Explanation explain(std::string_view reasoning, std::span<const JudgedClaim> claims,
                    const ClaimContext& context, const PromptStyle& style,
                    std::span<const int32_t> shown) {
  Explanation explanation;
  std::vector<std::string> wishes;
  std::vector<int32_t> wished;
  for (const JudgedClaim& judged : claims) {
    const auto resolved = resolve_claim(judged.claim, context);
    explanation.claims.push_back(explained(judged, resolved, reasoning, context));
    const ExplainedClaim& out = explanation.claims.back();
    if (out.is_wish && std::find(wishes.begin(), wishes.end(), out.sentence) == wishes.end())
      wishes.push_back(out.sentence);
    if (out.is_wish && predicate_table()[resolved->index].demand == Demand::kNeed)
      for (size_t i = 0; i < predicate_table()[resolved->index].arity(); ++i)
        if (std::find(wished.begin(), wished.end(), resolved->values[i]) == wished.end())
          wished.push_back(resolved->values[i]);
  }
  explanation.list = list_text(shown, wished, context.catalogue);
  const Decision* decision = style.decision(reasoning);
  if (decision != nullptr) {
    explanation.decision = decision->sentence;
    if (is_refuted(*decision, claims))
      explanation.decision += ", but what is said of it above is false";
  }
  for (const std::string& wish : wishes) {
    const bool first = explanation.decision.empty();
    const char* joint = first ? "" : &wish == &wishes.front() ? ": " : "; ";
    explanation.decision += joint + (first ? wish : lower_first(wish));
  }
  if (!explanation.decision.empty()) explanation.decision += ".";
  return explanation;
}

std::vector<ClaimGroup> by_dimension(const Explanation& explanation) {
  std::vector<ClaimGroup> groups;
  for (int32_t d = 0; d < kNumDimensions; ++d) {
    ClaimGroup group{static_cast<Dimension>(d), {}};
    for (const ExplainedClaim& claim : explanation.claims)
      if (claim.is_known && !claim.is_wish && claim.dimension == group.dimension)
        group.claims.push_back(&claim);
    if (!group.claims.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

std::string unknown_claims(const Explanation& explanation) {
  const auto count = std::count_if(explanation.claims.begin(), explanation.claims.end(),
                                   [](const ExplainedClaim& claim) { return !claim.is_known; });
  if (count == 0) return {};
  return count == 1 ? "1 more statement could not be read"
                    : fmt::format("{} more statements could not be read", count);
}

std::string explanation_text(const Explanation& explanation) {
  std::string text;
  for (const ClaimGroup& group : by_dimension(explanation)) {
    text += fmt::format("  {}\n", dimension_heading(group.dimension));
    for (const ExplainedClaim* claim : group.claims) {
      const std::string number = claim->number.empty() ? "" : fmt::format("  ({})", claim->number);
      text += fmt::format("    {} {}{}\n", verdict_mark(claim->verdict), claim->sentence, number);
    }
  }
  if (const std::string unknown = unknown_claims(explanation); !unknown.empty())
    text += fmt::format("  {}\n", unknown);
  for (const std::string* line : {&explanation.decision, &explanation.list})
    if (!line->empty()) text += fmt::format("  {}\n", *line);
  return text;
}

OrderedJson to_json(const Explanation& explanation, std::string_view reasoning) {
  OrderedJson claims = OrderedJson::array();
  for (const ExplainedClaim& claim : explanation.claims)
    claims.push_back(
        {{"dimension", dimension_name(claim.dimension)},
         {"sentence", claim.sentence},
         {"verdict", verdict_name(claim.verdict)},
         {"number", claim.number},
         {"claim", std::string(reasoning.substr(claim.begin, claim.end - claim.begin))}});
  return {{"decision", explanation.decision},
          {"list", explanation.list},
          {"claims", std::move(claims)}};
}

}  // namespace etrlrec
