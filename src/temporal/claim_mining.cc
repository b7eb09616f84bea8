#include "temporal/claim_mining.h"

#include <algorithm>
#include <set>
#include <utility>

#include "temporal/predicates.h"
#include "temporal/prompts.h"
#include "temporal/sentences.h"

namespace etrlrec {
namespace {

bool speaks_of_candidates(const Claim& claim, const ClaimContext& context) {
  const auto resolved = resolve_claim(claim, context);
  if (!resolved) return false;
  const auto& kinds = predicate_table()[resolved->index].kinds;
  return std::find(kinds.begin(), kinds.end(), ArgumentKind::kCandidate) != kinds.end();
}

}  // namespace

MinedReasoning mine_claims(std::string_view reasoning, int32_t answer, const PromptStyle& style,
                           const ClaimContext& context, const ClaimWeights& weights) {
  ReasoningReading reading = read_sentences(reasoning, context);
  MinedReasoning mined;
  if (reading.claims.empty()) {
    ReasoningReading other = style.read(reasoning, context);
    mined.is_english = other.claims.empty();
    if (!mined.is_english) reading = std::move(other);
  }
  mined.sentences = reading.sentences;
  mined.claim_sentences = reading.claim_sentences;
  mined.claims = judge_claims(std::move(reading.claims), context, weights);
  mined.score = score_reasoning(mined.claims, answer, context);
  for (const JudgedClaim& judged : mined.claims)
    if (judged.verdict != Verdict::kTrue)
      mined.rejected.emplace_back(
          reasoning.substr(judged.claim.begin, judged.claim.end - judged.claim.begin));
  return mined;
}

std::string restated(const MinedReasoning& mined, std::string_view reasoning,
                     const PromptStyle& style, bool names_candidates, const ClaimContext& context,
                     Rng& rng) {
  std::vector<Statement> said;
  const Decision* decision = find_style("natural").decision(reasoning);
  if (decision == nullptr) decision = style.decision(reasoning);
  const auto decide = [&] {
    if (decision == nullptr) return;
    Statement& statement = said.emplace_back();
    statement.claim.predicate = decision->word;
    statement.is_decision = true;
    decision = nullptr;
  };
  std::set<std::pair<std::string, std::vector<std::string>>> told;
  for (const JudgedClaim& judged : mined.claims) {
    if (judged.verdict != Verdict::kTrue) continue;
    if (!names_candidates && speaks_of_candidates(judged.claim, context)) continue;
    if (!told.emplace(judged.claim.predicate, judged.claim.arguments).second) continue;
    if (judged.dimension == Dimension::kLink) decide();  // a wish follows from what decides
    said.push_back({judged.claim, false});
    said.back().claim.stated.reset();
  }
  decide();
  return !told.empty() ? style.reasoning(said, context, rng) : std::string();
}

}  // namespace etrlrec
