// Claims: the machine-readable sentences of a reasoning, `predicate(argument argument)`, their
// grammar, their verdicts against a fact sheet and the scores of method.md G.3 (5). A small
// automaton parses them; hostile text gives "unverifiable", never a crash. The verifier does not
// see the target. The predicates stand in predicates.cc. Departures from G.3 (5): a false claim
// costs wherever it stands, only true ones are capped; `need` is a wish and true whenever its
// attributes exist; wishes that no candidate can meet are dropped from the end (see
// score_reasoning).
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
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

inline constexpr size_t kMaxReasoningBytes = 65536;  // what stands behind is not read
inline constexpr size_t kMaxClaims = 256;            // further ones are not read
inline constexpr size_t kMaxArguments = 4;
inline constexpr int32_t kCountedClaims = 4;  // m: true claims that earn, per dimension
inline constexpr double kMaxBits = 4;         // w_max

struct Claim {
  std::string predicate;  // empty: malformed (not closed, too long, too many arguments)
  std::vector<std::string> arguments;
  size_t begin = 0, end = 0;  // bytes of the reasoning, for marking it in reports
};

struct JudgedClaim {
  Claim claim;
  Dimension dimension = Dimension::kLink;
  Verdict verdict = Verdict::kUnverifiable;
  double weight = 0;    // information weight w(c) in bits
  bool counted = true;  // false: said before, or true and beyond the cap of its dimension
};

// What judging needs besides the text.
struct ClaimContext {
  const Catalogue& catalogue;
  const Request& request;
  const FactSheet& facts;
};

// q(c): how often a predicate with random arguments is true on training contexts, and u(pred);
// measured once by `measure_claim_weights`, stored as JSON beside the teacher's output. Empty:
// every claim weighs one bit.
struct ClaimWeights {
  std::vector<std::string> predicates;  // with argument kinds, e.g. "gap(entry,moment,bucket)"
  std::vector<double> truth_rate;       // q
  std::vector<double> usefulness;       // u in [0.25, 1]
};
// A training row; the target serves the usefulness weights only and reaches no fact.
struct TrainingContext {
  ClaimContext context;
  int32_t target_item = -1;
};
// u grows with the mutual information of a claim's truth and the next item: having the claim's
// attribute, being the claim's candidate, or for claims about neither, sharing the last entry's
// lead attribute. Scaled per dimension.
ClaimWeights measure_claim_weights(std::span<const TrainingContext> contexts, uint64_t seed);
// The same without targets: u = 1 everywhere.
ClaimWeights measure_claim_weights(std::span<const ClaimContext> contexts, uint64_t seed);
nlohmann::ordered_json to_json(const ClaimWeights& weights);
// Refuses (kInput) sizes that differ, rates outside of [0, 1] and sets that lack a predicate of
// this version.
ClaimWeights claim_weights_from_json(const nlohmann::json& json, const std::string& name);

struct ReasoningScore {
  double precision = 0, coverage = 0;
  double r_temp = 0;  // P sqrt(Cov)
  double r_link = 0;
  double r_ver = 0;  // 0.8 r_temp + 0.2 r_link
  int32_t num_true = 0, num_false = 0, num_unverifiable = 0;
};

std::vector<Claim> parse_claims(std::string_view reasoning);
std::vector<JudgedClaim> judge_claims(std::string_view reasoning, const ClaimContext& context,
                                      const ClaimWeights& weights);

// Bits that true claims can earn in this context in IS, IAT and UET, each at most 3: B_d of G.3
// (5).
std::array<double, 3> attainable_bits(const ClaimContext& context, const ClaimWeights& weights);

// `answer`: 1-based candidate number, 0 for none. Without `budgets`, B_d is 3 bits in every
// dimension. r_link: the needs in the order of the text, without those that a true lack() answers,
// as long as one candidate meets them all; the answer must meet them, avoid what is avoided and be
// what is picked. A picked true sequel counts as a need that the named sequels alone meet.
ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer,
                               const ClaimContext& context);
ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer,
                               const ClaimContext& context, const std::array<double, 3>& budgets);

}  // namespace etrlrec
