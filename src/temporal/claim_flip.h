// False claims instead of true ones (method.md G.9.5 (c)): a control of what an answer owes to what
// its reasoning says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "temporal/claims.h"
#include "temporal/style.h"

namespace etrlrec {

// The same predicate or its opposite, false in the context, the nearest ones first: "up" and
// "down", "explorer" and "exploiter", "before" of exchanged entries; then the claim with one other
// argument, the last one first, its values in an order of `rng`. Empty where there is none, and for
// what is wished, picked or followed, which is never false.
std::vector<Claim> false_claims(const Claim& claim, const ClaimContext& context, Rng& rng);

struct FlippedReasoning {
  std::string text;
  // True claims about what happened and what candidates have, and how many of them are false now.
  int32_t claims = 0, flipped = 0;
};
// Every true claim of a reasoning in this style becomes one of false_claims, in a wording of the
// style. Wishes, picks, decisions, plain text and claims that are not true stay. The verifier
// judges the text that comes out: each flipped claim is false in it, and every other claim keeps
// its verdict. A claim that cannot be flipped so stays as it is.
FlippedReasoning flip_claims(std::string_view reasoning, const PromptStyle& style,
                             const ClaimContext& context, Rng& rng);

// A reasoning in front of its first decision: what it names as what decides, wishes, avoids, rules
// out, picks or follows, whether such a claim is true or not. Without the blanks and the article
// that stand there, which belong to the decision. Nothing where it decides nothing.
std::optional<std::string_view> before_decision(std::string_view reasoning,
                                                const PromptStyle& style,
                                                const ClaimContext& context);
// What it decides: each of those as "predicate( argument argument)", in the order of the text, and
// in front the word of what it names first as what decides.
std::vector<std::string> decisions_in(std::string_view reasoning, const PromptStyle& style,
                                      const ClaimContext& context);

}  // namespace etrlrec
