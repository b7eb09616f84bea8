// Claims: the machine-readable sentences of a reasoning, `predicate(arg,arg)`, their grammar, their verdicts against a
// fact sheet and the scores of method.md G.3 (5). A small automaton parses them; hostile text gives "unverifiable", never
// a crash. The verifier does not see the target.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "temporal/facts.h"

namespace etrlrec {

enum class Dimension : int8_t { kIS, kIAT, kUET, kLink };
enum class Verdict : int8_t { kTrue, kFalse, kUnverifiable };

struct Claim {
  std::string predicate;
  std::vector<std::string> arguments;
  size_t begin = 0, end = 0;                    // bytes of the reasoning, for marking it in reports
};

struct JudgedClaim {
  Claim claim;
  Dimension dimension = Dimension::kLink;
  Verdict verdict = Verdict::kUnverifiable;
  double weight = 0;                            // information weight w(c) in bits
};

// What judging needs besides the text.
struct ClaimContext {
  const Catalogue& catalogue;
  const Request& request;
  const FactSheet& facts;
};

// q(c): how often a predicate with random arguments is true on training contexts, and u(pred); measured once by
// `measure_claim_weights`, stored as JSON beside the teacher's output.
struct ClaimWeights {
  std::vector<std::string> predicates;
  std::vector<double> truth_rate;               // q
  std::vector<double> usefulness;               // u in [0.25, 1]
};
ClaimWeights measure_claim_weights(std::span<const ClaimContext> contexts, uint64_t seed);

struct ReasoningScore {
  double precision = 0, coverage = 0;
  double r_temp = 0;                            // P sqrt(Cov)
  double r_link = 0;
  double r_ver = 0;                             // 0.8 r_temp + 0.2 r_link
  int32_t num_true = 0, num_false = 0, num_unverifiable = 0;
};

std::vector<Claim> parse_claims(std::string_view reasoning);
std::vector<JudgedClaim> judge_claims(std::string_view reasoning, const ClaimContext& context,
                                      const ClaimWeights& weights);
// `answer`: 1-based candidate number, 0 for none.
ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer, const ClaimContext& context);

}  // namespace etrlrec
