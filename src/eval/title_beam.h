// The best titles of a request without scores of all of them: beam search over the trie of the
// candidates' titles (engine/beam.h), for catalogues that are too large to be scored title by
// title. Every result is a candidate and none comes twice; what is not among the best beams at some
// token is lost; titles that the model has never read (eval/new_items.h) are reached by their
// spelling alone (method/ranking_service asks about those and about a trend exactly).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eval/full_ranking.h"
#include "eval/protocol.h"
#include "models/language_model.h"

namespace etrlrec {

class TitleBeam {
 public:
  // A model that answers by title. Model, tokenizer and catalogue outlive this.
  TitleBeam(const LanguageModel& model, const PromptEncoder& encoder,
            const ProtocolOptions& options, int64_t num_beams);

  struct Best {
    std::vector<int32_t> items;   // candidates, best first; those with equal titles together
    std::vector<float> logprobs;  // of their titles below prompt and reasoning
    std::string reasoning;
    bool valid = true;  // false: the reasoning was closed by force
  };
  // The candidates of at most num_beams titles for every request. Errors: kUsage for a model that
  // reasons and has an encoder, whose beams cannot begin behind a reasoning.
  std::vector<Best> rank(std::span<const Request> requests) const;

 private:
  std::vector<std::vector<int64_t>> prefixes(std::span<const Request> requests,
                                             std::vector<Best>& out) const;

  const LanguageModel* model_;
  PromptEncoder encoder_;
  ProtocolOptions options_;
  int64_t num_beams_;
  std::vector<std::vector<int64_t>> titles_;  // [N] tokens of each item's title
};

// Predictions as rank_catalogue makes them; a target that no beam has found has the rank n + 1.
// `requests` are those of the rows, without candidates.
Predictions rank_by_beam(const FullRows& rows, const TitleBeam& beam, int64_t num_items,
                         const std::vector<Request>& requests, const ProgressFn& on_progress = {});

// The share of the ten best items of exact scores that are among the ten best of the beam, over the
// first `count` rows.
double recall_of_beam(const FullRows& rows, const TitleBeam& beam, const AskCatalogue& exact,
                      const std::vector<Request>& requests, int64_t count);

}  // namespace etrlrec
