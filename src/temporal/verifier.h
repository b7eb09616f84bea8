// The verifier of claims: judges each claim of a reasoning against a fact sheet, and scores the
// whole (method.md G.3 (5)). It does not see the target. Departures from G.3 (5): a false claim
// costs in every place, only the number of true ones is capped; `need` is a wish and true whenever
// its attributes exist; wishes that no candidate can meet are dropped from the end
// (score_reasoning).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "temporal/claim_weights.h"
#include "temporal/claims.h"

namespace etrlrec {

inline constexpr int32_t kCountedClaims = 4;  // m: true claims that earn, per dimension

struct JudgedClaim {
  Claim claim;
  Dimension dimension = Dimension::kLink;
  Verdict verdict = Verdict::kUnverifiable;
  double weight = 0;    // information weight w(c) in bits
  bool counted = true;  // false: said before, or true and beyond the cap of its dimension
};

struct ReasoningScore {
  double precision = 0, coverage = 0;
  double r_temp = 0;  // P sqrt(Cov)
  double r_link = 0;
  double r_ver = 0;  // 0.8 r_temp + 0.2 r_link
  int32_t num_true = 0, num_false = 0, num_unverifiable = 0;
};

// `claims`: what PromptStyle::claims read in a reasoning. A number that the text states and that is
// not what was measured (claim_numbers.h) makes a claim false.
std::vector<JudgedClaim> judge_claims(std::vector<Claim> claims, const ClaimContext& context,
                                      const ClaimWeights& weights);

// `answer`: 1-based candidate number, 0 for none. Coverage is complete at 3 bits in each of IS, IAT
// and UET. r_link: the needs in the order of the text, without those that a true lack() answers, as
// long as one candidate meets them all; the answer must meet them, avoid what is avoided and be
// what is picked or followed. A picked true sequel counts as a need that the named sequels alone
// meet, and so does a place of the recommender's pattern that is followed.
ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer,
                               const ClaimContext& context);

}  // namespace etrlrec
