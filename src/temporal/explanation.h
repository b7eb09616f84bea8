// What people read of a reasoning: each claim as a sentence with its verdict and the number behind
// it, under the three dimensions, and one line that says what decided.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "temporal/style.h"
#include "temporal/verifier.h"

namespace etrlrec {

struct ExplainedClaim {
  size_t begin = 0, end = 0;  // bytes of the reasoning
  std::string
      sentence;        // without a full stop; the text itself where it names nothing that is known
  std::string number;  // what was measured, "2.1 times as often as usual"; may be empty
  Dimension dimension = Dimension::kLink;
  Verdict verdict = Verdict::kUnverifiable;
  bool is_wish = false;  // what is wished or picked: part of the decision
};
struct Explanation {
  std::vector<ExplainedClaim> claims;  // in the order of the text
  std::string decision;  // "The lasting taste decides: it should be crime."; empty: nothing decides
};

// `claims`: the judged claims of `reasoning`.
Explanation explain(std::string_view reasoning, std::span<const JudgedClaim> claims,
                    const ClaimContext& context, const PromptStyle& style);

const char* verdict_mark(Verdict verdict);  // "✓" "✗" "?"
// "When and in what order", ...: the heading of a dimension's claims.
const char* dimension_heading(Dimension dimension);
struct ClaimGroup {
  Dimension dimension = Dimension::kLink;
  std::vector<const ExplainedClaim*> claims;  // at least one, in the order of the text
};
// The claims that are no wishes, in the order of the dimensions.
std::vector<ClaimGroup> by_dimension(const Explanation& explanation);
// Lines for a terminal: headings, claims with their marks, the decision. Empty where nothing was
// said.
std::string explanation_text(const Explanation& explanation);
// The same for programs: "decision", and "claims", a list of {"dimension", "sentence", "verdict",
// "number", "claim"}, whose last one is the text of `reasoning` (maybe no UTF-8).
nlohmann::ordered_json to_json(const Explanation& explanation, std::string_view reasoning);

}  // namespace etrlrec
