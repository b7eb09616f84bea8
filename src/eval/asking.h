// How protocols ask a language model: their options, how requests become prompts, and what every
// protocol makes of a completion. protocol.h has the table of protocols, reasoning_controls.h those
// that change a reasoning.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "engine/engine.h"
#include "eval/new_items.h"
#include "eval/predictions.h"
#include "models/language_model.h"
#include "temporal/prompts.h"
#include "temporal/statistics.h"
#include "text/tokenizer.h"

namespace etrlrec {

struct ProtocolOptions {
  std::string name = "likelihood";
  PromptOptions prompt;
  int64_t max_reasoning_tokens = 160;
  int64_t reasonings = 1;  // likelihood: > 1 averages p over that many samples at temperature 1
  // likelihood: > 1 averages p over that many orders of the candidates (eval/candidate_orders.h),
  // in each over `reasonings`.
  int64_t permutations = 1;
  // likelihood and its controls: of the candidates' probabilities (eval/calibration.h).
  double temperature = 1;
  bool log_scores = false;  // likelihood: scores are log p, which keeps what is far below apart
  // likelihood and its controls: what to do about items that the model has never read. Null: their
  // titles are as likely as their spelling.
  std::shared_ptr<const NewItems> new_items = nullptr;
  double reasoning_share = 0.5;  // truncated-reasoning: of the tokens, in [0, 1], rounded down
  // flipped-claims, flipped-facts: what claims are judged by, counted in the training part.
  std::shared_ptr<const TemporalStatistics> statistics = nullptr;
  int32_t rounds = 10;  // elimination; at most the items of a pattern in the prompts
  uint64_t seed = 42;
};

// How requests become prompts of a model: its tokenizer, the catalogue that prompts are rendered
// from, and what comes before and after the text of every prompt (virtual tokens of soft prompts,
// a chat's other turns; the end token that an encoder reads).
struct PromptEncoder {
  const Tokenizer& tokenizer;
  const Catalogue& catalogue;
  std::vector<int64_t> before{}, after{};
};

GenerationRequest generation_request(const PromptEncoder& encoder, const Request& request,
                                     const PromptOptions& options, int32_t most_candidates = 0);
// `most_candidates` of the requests that are asked together (temporal/encoding.h).
GenerationOptions generation_options(const Tokenizer& tokenizer, const ProtocolOptions& options,
                                     int32_t most_candidates);

// A model, how it is asked, and everything that it is asked in all passes.
struct Asked {
  const LanguageModel& model;
  const PromptEncoder& encoder;
  std::span<const Request> all;
  const Tokenizer& tokenizer() const { return encoder.tokenizer; }
};

// Row, user and target of a request that nothing is known of yet.
Prediction new_prediction(const Request& request, int64_t row);
std::vector<int64_t> prompt_ids(const PromptEncoder& encoder, const Request& request,
                                const PromptOptions& options);
// Candidates of the request that has the most.
int32_t largest_choice(std::span<const Request> requests);
std::vector<GenerationRequest> generation_requests(const Asked& asked,
                                                   std::span<const Request> requests,
                                                   const ProtocolOptions& options, int32_t most);
std::vector<Completion> generate_for(const Asked& asked, std::span<const Request> requests,
                                     const ProtocolOptions& options,
                                     const GenerationOptions& generation, int32_t most);
std::string decode_reasoning(const Asked& asked, const Completion& completion);
// Of the request's candidates, [n]: with the new items and the temperature of the options.
std::vector<double> answer_probabilities(const Completion& completion, const Request& request,
                                         const ProtocolOptions& options);

}  // namespace etrlrec
