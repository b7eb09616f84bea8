// Claims: the machine-readable sentences of a reasoning, `predicate(argument argument)`, and their
// grammar. A small automaton parses them; hostile text gives malformed claims, never a crash.
// predicates.h knows what the words mean, verifier.h judges them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "temporal/facts.h"

namespace etrlrec {

enum class Dimension : int8_t { kIS, kIAT, kUET, kLink };
enum class Verdict : int8_t { kTrue, kFalse, kUnverifiable };
inline constexpr int32_t kNumDimensions = 4;
const char* dimension_name(Dimension dimension);  // "IS" "IAT" "UET" "link"
const char* verdict_name(Verdict verdict);        // "true" "false" "unverifiable"

inline constexpr size_t kMaxReasoningBytes = 65536;  // bytes after these are not read
inline constexpr size_t kMaxClaims = 256;            // further ones are not read
inline constexpr size_t kMaxArguments = 4;

// A number that a text gives for what a claim only compares (claim_numbers.h).
struct StatedNumber {
  double value = 0, resolution = 1;  // unit of the last digit
};

struct Claim {
  std::string predicate;  // empty: malformed (not closed, too long, too many arguments)
  std::vector<std::string> arguments{};
  size_t begin = 0, end = 0;  // bytes of the reasoning, for marking it in reports
  std::optional<StatedNumber> stated{};
};

// What a style reads in a reasoning: its claims, in the order of the text, and how much of the text
// they are. A sentence that is no claim neither earns nor costs; it is counted.
struct ReasoningReading {
  std::vector<Claim> claims;
  int64_t sentences = 0, claim_sentences = 0;
};

// What a teacher says, for a style to write: a claim, or what decides (sentence_forms.h), whose
// word stands in `claim.predicate`.
struct Statement {
  Claim claim;
  bool is_decision = false;
};

// What judging needs apart from the text.
struct ClaimContext {
  const Catalogue& catalogue;
  const Request& request;
  const FactSheet& facts;
};

std::vector<Claim> parse_claims(std::string_view reasoning);

}  // namespace etrlrec
