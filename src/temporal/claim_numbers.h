// The number behind a claim: what the fact sheet measured where the claim's predicate only compares
// it with a limit, e.g. by how much more often than usual crime follows drama. Texts in plain
// English may state it (then it is judged, too), and people see it beside the verdict.
#pragma once

#include <optional>
#include <string>

#include "temporal/predicates.h"

namespace etrlrec {

enum class NumberUnit : int8_t {
  kTimes,    // a ratio, 1: as usual
  kPercent,  // 0 to 100
  kCount,    // entries of the history
  kSeconds,  // a time between two moments
};

struct ClaimNumber {
  double value = 0;
  NumberUnit unit = NumberUnit::kCount;
};

// Nothing where the predicate measures nothing, or the history is too short to measure it.
std::optional<ClaimNumber> claim_number(const ResolvedClaim& claim, const ClaimContext& context);

// "2.1 times as often as usual", "3 of 12 choices", "23 days"; a number in words for people.
std::string number_text(const ClaimNumber& number, const ResolvedClaim& claim,
                        const ClaimContext& context);

// As texts write it: ratios to one digit behind the point, durations in one unit ("3 weeks").
std::string rounded_text(const ClaimNumber& number);

// Whether a number in a text says what was measured: by 15 % or half a unit of its last digit
// (`resolution`) at most. A duration of "3 weeks" has a resolution of a week.
bool agrees(double stated, double resolution, const ClaimNumber& number);

}  // namespace etrlrec
