// The vocabulary of claims as one table: name, dimension, kinds of the arguments, and the function
// that tells whether a claim holds. A name may stand several times with other argument kinds. New
// predicates are one line in predicates.cc.
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
};
using ArgumentValues = std::array<int32_t, 3>;

struct Predicate {
  std::string_view name;
  Dimension dimension;
  std::array<ArgumentKind, 3> kinds;
  Verdict (*evaluate)(const ClaimContext& context, const ArgumentValues& values);

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

// Number of values an argument of this kind can take in a context; attributes are those of the fact
// sheet.
int64_t argument_domain(ArgumentKind kind, const ClaimContext& context);
// The position-th of them.
int32_t argument_value(ArgumentKind kind, int64_t position, const ClaimContext& context);

}  // namespace etrlrec
