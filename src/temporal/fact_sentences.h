// The fact sheet of a request as true claims in the three dimensions, for the guidance of a
// teacher: what a language model would otherwise have to count, in sentences that the verifier
// reads back.
#pragma once

#include <string>
#include <vector>

#include "temporal/claims.h"

namespace etrlrec {

struct FactClaim {
  Claim claim;
  Dimension dimension = Dimension::kIS;
};
// At most a few of each predicate, the strongest (by the number behind the claim) or the latest
// first; IS, then IAT, then UET. Nothing depends on the target. Without `with_times` nothing about
// gaps, sittings, seasons and pauses. `names_candidates`: whether claims may speak of candidates.
std::vector<FactClaim> true_claims(const ClaimContext& context, bool with_times,
                                   bool names_candidates);

}  // namespace etrlrec
