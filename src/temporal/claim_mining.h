// What free text claims: a reasoning of any language model is read sentence by sentence with the
// forms of the natural style, and judged as the program's own is. Restating keeps what is true in
// the words of any style.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "temporal/style.h"
#include "temporal/verifier.h"

namespace etrlrec {

struct MinedReasoning {
  std::vector<JudgedClaim> claims;  // in the order of the text
  ReasoningScore score;
  int64_t sentences = 0, claim_sentences = 0;
  std::vector<std::string> rejected;  // the words of the claims that are not true
  bool is_english = true;             // false: the style has read it, no sentence was a claim
};
// `answer`: 1-based, 0 for none. Where no sentence is a claim, `style` may read the text: what the
// program wrote in another style is no English.
MinedReasoning mine_claims(std::string_view reasoning, int32_t answer, const PromptStyle& style,
                           const ClaimContext& context, const ClaimWeights& weights);

// The true claims and what decides, in a style's words; empty where nothing is true. Claims about
// candidates are left out without `names_candidates`: answers by title name them by no number.
std::string restated(const MinedReasoning& mined, std::string_view reasoning,
                     const PromptStyle& style, bool names_candidates, const ClaimContext& context,
                     Rng& rng);

}  // namespace etrlrec
