// English that a model writes: completions in the natural style, its sentences, their verdicts and
// what people read of them.
#include "../temporal_fixture.h"
#include "fuzz.h"
#include "temporal/explanation.h"
#include "temporal/prompts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  static const Catalogue catalogue = small_catalogue();
  static const Request request = [] {
    Request made = small_request();
    made.known.pattern = {2, 6, 1};
    made.known.lately = {6, 1};
    made.known.after = {1};
    made.known.fresh = {4};
    return made;
  }();
  static const FactSheet facts = compute_facts(catalogue, small_statistics(), request);
  const std::string_view text = fuzz::bytes_of(data, size);
  const ClaimContext context{catalogue, request, facts};
  const PromptStyle& style = find_style("natural");
  for (const AnswerKind answer : {AnswerKind::kNumber, AnswerKind::kTitle}) {
    const PromptOptions prompt{.style = "natural", .answer = answer};
    parse_completion(text, answer_texts(catalogue, request, prompt), prompt);
  }
  ReasoningReading reading = style.read(text, context);
  if (reading.claim_sentences > reading.sentences) __builtin_trap();
  for (const Claim& claim : reading.claims)
    if (claim.begin > claim.end || claim.end > text.size()) __builtin_trap();
  const auto judged = judge_claims(std::move(reading.claims), context, {});
  explanation_text(explain(text, judged, context, style));
  return 0;
}
