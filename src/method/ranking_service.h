// Recommendations as a service: opened once with a data set, a language model and a recommender,
// then asked about many users at once. A recommender's best unseen items are the candidates, or
// items named by hand, or for a model that answers by title the whole catalogue; the language model
// reasons and ranks them; the verifier judges its claims.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "method/study.h"
#include "models/recommender.h"
#include "nn/numerics.h"
#include "temporal/claims.h"
#include "temporal/verifier.h"

namespace etrlrec {

struct RankerOptions {
  std::filesystem::path data, model;
  // Empty: a model that answers by title ranks all items that the user has not seen; with another
  // model every query names its candidates.
  std::filesystem::path recommender;
  std::string dtype = "float32";      // of the language model's weights
  std::vector<std::string> adapters;  // PEFT folders on top of it
  Numerics numerics;
};

// One user to recommend to, by the ids of the data set.
struct RankingQuery {
  std::string user{};                     // empty: `history` is used
  std::vector<std::string> history{};     // item ids, oldest first, one day apart
  std::vector<std::string> candidates{};  // item ids; empty: the recommender's best unseen ones,
                                          // or all unseen ones
  int32_t num_candidates = 20;            // taken from the recommender
};

struct RankedItem {
  int32_t item = 0;  // index in the catalogue
  float score = 0;   // probability among the candidates
};

struct Ranking {
  std::vector<RankedItem> items;  // best first
  std::string reasoning;
  std::vector<JudgedClaim> claims;  // of the reasoning, in its order
  bool valid = true;  // false: the reasoning did not end within its budget and was closed by force
};

// All calls may come from several threads. One of them computes or loads at a time: those of other
// threads wait, so a server gathers users and asks about them together.
class Ranker {
 public:
  // Opens everything but the language model's weights. Errors (kModel): a model or a recommender of
  // another catalogue than the data set's.
  explicit Ranker(const RankerOptions& options);

  const Catalogue& catalogue() const { return study_.dataset.catalogue; }

  // The queries with their ids resolved and candidates chosen. The request is made one day after
  // the user's last event, or after the last event of the data set for a history given by hand.
  // Errors: kInput for an unknown id, kUsage for a query without history or candidates.
  std::vector<Request> requests(std::span<const RankingQuery> queries) const;
  MemoryEstimate estimate(std::span<const Request> requests) const;

  // Loads the language model's weights; `rank` needs them.
  void load();
  // The `k` best candidates of every request. Several requests at once are ranked as one by one, up
  // to the rounding of sums.
  std::vector<Ranking> rank(std::span<const Request> requests, int32_t k) const;

 private:
  Request history_of(const RankingQuery& query) const;
  ProtocolOptions protocol() const;
  Ranking ranking_of(const Request& request, const Prediction& prediction, int32_t k) const;

  RankerOptions options_;
  Study study_;
  std::unique_ptr<Recommender> recommender_;
  LoadedModel model_;
  mutable std::mutex computing_;
};

}  // namespace etrlrec
