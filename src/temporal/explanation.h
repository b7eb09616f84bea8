// What people read of a reasoning: each claim as a sentence with its verdict and the number behind
// it, under the three dimensions, one line that says what decided, and one that says which of the
// recommended items that explains.
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
      sentence;  // without a full stop; the text itself where it names nothing that is known
  // What was measured and the sentence does not say, "2 of 8 choices", of a false claim "in truth 0
  // of 5 choices"; may be empty.
  std::string number;
  Dimension dimension = Dimension::kLink;
  Verdict verdict = Verdict::kUnverifiable;
  bool is_wish = false;   // what is wished or picked: part of the decision
  bool is_known = false;  // it names what is there; others have no sentence
};
struct Explanation {
  std::vector<ExplainedClaim> claims;  // in the order of the text
  std::string decision;  // "The lasting taste decides: it should be crime."; empty: nothing decides
  // "These reasons fit number 2 above (crime), not the others."; empty: nothing to say
  std::string list;
};

// `claims`: the judged claims of `reasoning`; `shown`: the recommended items, best first, as people
// see them above the explanation.
Explanation explain(std::string_view reasoning, std::span<const JudgedClaim> claims,
                    const ClaimContext& context, const PromptStyle& style,
                    std::span<const int32_t> shown = {});

const char* verdict_mark(Verdict verdict);  // "✓" "✗" "?"
// "Time and order", ...: the heading of a dimension's claims.
const char* dimension_heading(Dimension dimension);
struct ClaimGroup {
  Dimension dimension = Dimension::kLink;
  std::vector<const ExplainedClaim*> claims;  // at least one, in the order of the text
};
// The known claims that are no wishes, in the order of the dimensions.
std::vector<ClaimGroup> by_dimension(const Explanation& explanation);
// "1 more statement could not be read"; empty where there is none.
std::string unknown_claims(const Explanation& explanation);
// Lines for a terminal: headings, claims with their marks, the decision, the list. Empty where
// nothing was said.
std::string explanation_text(const Explanation& explanation);
// The same for programs: "decision", "list", and "claims", a list of {"dimension", "sentence",
// "verdict", "number", "claim"}, whose last one is the text of `reasoning` (maybe no UTF-8).
nlohmann::ordered_json to_json(const Explanation& explanation, std::string_view reasoning);

}  // namespace etrlrec
