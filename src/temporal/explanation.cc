#include "temporal/explanation.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "temporal/claim_numbers.h"
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

ExplainedClaim explained(const JudgedClaim& judged, const std::optional<ResolvedClaim>& resolved,
                         std::string_view reasoning, const ClaimContext& context) {
  const Claim& claim = judged.claim;
  ExplainedClaim out;
  out.begin = claim.begin, out.end = claim.end;
  out.dimension = judged.dimension, out.verdict = judged.verdict;
  out.is_wish = resolved && is_wish(*resolved) && judged.verdict == Verdict::kTrue;
  if (resolved) {
    out.sentence = claim_sentence(claim, context, AttributeNames::kFull);
    if (const auto number = claim_number(*resolved, context))
      out.number = number_text(*number, *resolved, context);
    if (out.sentence.find(out.number) != std::string::npos) out.number.clear();
  }
  if (out.sentence.empty())
    out.sentence = std::string(reasoning.substr(claim.begin, claim.end - claim.begin));
  return out;
}

}  // namespace

const char* verdict_mark(Verdict verdict) {
  if (verdict == Verdict::kTrue) return "✓";
  return verdict == Verdict::kFalse ? "✗" : "?";
}

const char* dimension_heading(Dimension dimension) {
  switch (dimension) {
    case Dimension::kIS:
      return "When and in what order";
    case Dimension::kIAT:
      return "What follows what";
    case Dimension::kUET:
      return "What this person likes";
    case Dimension::kLink:
      break;
  }
  return "About the candidates";
}

Explanation explain(std::string_view reasoning, std::span<const JudgedClaim> claims,
                    const ClaimContext& context, const PromptStyle& style) {
  Explanation explanation;
  std::vector<std::string> wishes;
  for (const JudgedClaim& judged : claims) {
    const auto resolved = resolve_claim(judged.claim, context);
    explanation.claims.push_back(explained(judged, resolved, reasoning, context));
    const ExplainedClaim& out = explanation.claims.back();
    if (out.is_wish && std::find(wishes.begin(), wishes.end(), out.sentence) == wishes.end())
      wishes.push_back(out.sentence);
  }
  const Decision* decision = style.decision(reasoning);
  if (decision != nullptr) explanation.decision = decision->sentence;
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
      if (!claim.is_wish && claim.dimension == group.dimension) group.claims.push_back(&claim);
    if (!group.claims.empty()) groups.push_back(std::move(group));
  }
  return groups;
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
  if (!explanation.decision.empty()) text += fmt::format("  {}\n", explanation.decision);
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
  return {{"decision", explanation.decision}, {"claims", std::move(claims)}};
}

}  // namespace etrlrec
