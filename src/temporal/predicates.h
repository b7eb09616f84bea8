// The vocabulary of claims as one table: name, dimension, argument kinds and truth of each
// predicate. A name may have several rows with different argument kinds. To add a predicate, write
// its function and its row in predicates.cc and a case in temporal_claims_test.cc; parsing (of
// existing kinds), the demands (existing ones), weights and verdicts follow from the row. Its row
// stands last: measure_claim_weights draws for all rows from one stream, so a row moves the weights
// of those behind it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "temporal/claims.h"

namespace etrlrec {

enum class ArgumentKind : int8_t {
  kNone,
  kEntry,      // 1-based history entry; value from 0
  kMoment,     // the same or the word "now"; value n for now
  kCandidate,  // 1-based candidate; value from 0
  kAttribute,  // attribute_word(); value its id
  kBucket,     // gap_word()
  kNumber,     // 0 .. 999999
  kSeason,     // season_word()
  kStage,      // new | active | returning
  kPlace,      // 1-based place in the recommender's pattern; value from 0
};
using ArgumentValues = std::array<int32_t, 3>;

// What a true claim asks of the answer (score_reasoning).
enum class Demand : int8_t {
  kNothing,
  kNeed,    // the answer has the attributes
  kAvoid,   // it has none of them
  kLack,    // no candidate has them: needs for them are void
  kPick,    // it is the candidate
  kPrune,   // it is another one
  kSequel,  // if the candidate is picked, it is one of these
  kFollow,  // it is what stands at this place of the recommender's pattern
};

struct Predicate {
  std::string_view name;
  Dimension dimension;
  std::array<ArgumentKind, 3> kinds;
  Verdict (*evaluate)(const ClaimContext& context, const ArgumentValues& values);
  Demand demand = Demand::kNothing;
  // Claims of this name that share an argument contradict this one; then both are false.
  std::string_view opposite = {};

  size_t arity() const;
  std::string key() const;  // "gap(entry,moment,bucket)"
};
std::span<const Predicate> predicate_table();

// A claim whose predicate is known and whose arguments name things of this context.
struct ResolvedClaim {
  size_t index = 0;  // into predicate_table()
  ArgumentValues values{};
};
std::optional<ResolvedClaim> resolve_claim(const Claim& claim, const ClaimContext& context);

// The inverse for one argument: the word that stands for a value in a claim.
std::string argument_word(ArgumentKind kind, int32_t value, const ClaimContext& context);

std::string_view stage_word(int32_t stage);  // new | active | returning

// Number of values an argument of this kind can take in a context; attributes are those of the fact
// sheet.
int64_t argument_domain(ArgumentKind kind, const ClaimContext& context);
// The position-th of them.
int32_t argument_value(ArgumentKind kind, int64_t position, const ClaimContext& context);

}  // namespace etrlrec
