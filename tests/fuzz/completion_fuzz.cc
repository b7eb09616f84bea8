// What a model writes: the parser of completions, of claims, and the verifier.
#include "../temporal_fixture.h"
#include "fuzz.h"
#include "temporal/prompts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  static const Catalogue catalogue = small_catalogue();
  static const Request request = small_request();
  static const FactSheet facts = compute_facts(catalogue, small_statistics(), request);
  const std::string_view text = fuzz::bytes_of(data, size);
  // No refusal here: whatever a model writes has to be judged.
  for (const AnswerKind answer : {AnswerKind::kNumber, AnswerKind::kTitle})
    for (const bool reasoning : {true, false}) {
      const PromptOptions prompt{.reasoning = reasoning, .answer = answer};
      parse_completion(text, answer_texts(catalogue, request, prompt), prompt);
    }
  judge_claims(parse_claims(text), {catalogue, request, facts}, {});
  return 0;
}
