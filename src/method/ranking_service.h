// Recommendations as a service: opened once with a data set, a language model and a recommender,
// then asked about many users at once. A recommender's best unseen items are the candidates, or
// items named by hand, or for a model that answers by title the whole catalogue; the language model
// reasons and ranks them; the verifier judges its claims. A recommender alone ranks the whole
// catalogue itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/title_beam.h"
#include "eval/trend.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "method/study.h"
#include "models/recommender.h"
#include "nn/numerics.h"
#include "temporal/explanation.h"

namespace etrlrec {

struct RankerOptions {
  std::filesystem::path data;
  std::filesystem::path model;  // empty: the recommender alone
  // Empty: a model that answers by title ranks all items that the user has not seen; with another
  // model every query names its candidates. A model whose prompts show patterns needs it.
  std::filesystem::path recommender;
  std::string dtype = "float32";      // of the language model's weights
  std::vector<std::string> adapters;  // PEFT folders on top of it
  int64_t beam = 0;  // of a model that answers by title: beams (eval/title_beam.h), 0: exact scores
  // A model whose card has one follows what is chosen lately (eval/trend.h).
  bool trend = true;
  Numerics numerics;
};

// One user to recommend to, by the ids of the data set.
struct RankingQuery {
  std::string user{};                     // empty: `history` is used
  std::vector<std::string> history{};     // item ids, oldest first, one day apart
  std::vector<std::string> candidates{};  // item ids; empty: the recommender's best unseen ones,
                                          // or all unseen ones
  int32_t num_candidates = 20;            // taken from the recommender; 0: all unseen items
};

struct RankedItem {
  int32_t item = 0;  // index in the catalogue
  // Probability among the candidates; by beams the model's probability of the title, or where new
  // items or a trend correct it, the one among the titles that were asked about.
  float score = 0;
};

struct Ranking {
  std::vector<RankedItem> items;  // best first
  std::string reasoning;
  Explanation explanation;  // of the reasoning
  bool valid = true;  // false: the reasoning did not end within its budget and was closed by force
};

// All calls may come from several threads. One of them computes or loads at a time: those of other
// threads wait, so a server gathers users and asks about them together.
class Ranker {
 public:
  // Opens everything but the language model's weights. Errors: kModel for a model or a recommender
  // of another catalogue than the data set's, or a recommender of another type than the patterns
  // that the model was trained with; kUsage for neither of both, for a recommender as `model`, for
  // beams with a model that answers by number, and for patterns without a recommender.
  explicit Ranker(const RankerOptions& options);

  const Catalogue& catalogue() const { return study_.dataset.catalogue; }
  const std::vector<std::string>& user_ids() const { return study_.dataset.user_ids; }
  bool has_language_model() const { return !options_.model.empty(); }

  // The queries with their ids resolved and candidates chosen. The request is made one day after
  // the user's last event, or after the last event of the data set for a history given by hand.
  // Errors: kInput for an unknown id, kUsage for a query without history or candidates.
  std::vector<Request> requests(std::span<const RankingQuery> queries) const;
  // The same for users by their indices, without ids to look up.
  std::vector<Request> requests_of_users(std::span<const int32_t> users,
                                         int32_t num_candidates) const;
  // Of the language model.
  MemoryEstimate estimate(std::span<const Request> requests) const;

  // Loads the language model's weights; `rank` needs them.
  void load();
  // The `k` best candidates of every request; with beams at most as many titles as beams (kUsage).
  // Several requests at once are ranked as one by one, up to the rounding of sums.
  std::vector<Ranking> rank(std::span<const Request> requests, int32_t k) const;

 private:
  Request history_of(const RankingQuery& query) const;
  Request history_of_user(int32_t user) const;
  // Those of asked_ that the history does not hold.
  std::vector<int32_t> all_unseen(const Request& request) const;
  // Of requests[r] for every r of `open`: their candidates, `counts` of them from a recommender.
  void choose_candidates(std::vector<Request>& requests, std::span<const size_t> open,
                         std::span<const int32_t> counts) const;
  // What the recommender says about them, where the model's prompts show it.
  void add_knowledge(std::vector<Request>& requests) const;
  ProtocolOptions protocol() const;
  std::vector<Ranking> by_language_model(std::span<const Request> requests) const;
  // Beams know spellings alone. Where new items or a trend correct what they say, a short list is
  // asked about exactly: what they found, what is new, and as many titles as beams that rise most.
  std::vector<Ranking> by_beam(std::span<const Request> requests) const;
  std::vector<int32_t> shortlist(const Request& request, std::span<const int32_t> found) const;
  std::vector<Ranking> by_recommender(std::span<const Request> requests) const;

  RankerOptions options_;
  Study study_;
  std::unique_ptr<Recommender> recommender_;
  std::unique_ptr<const KnowledgeSource> knowledge_;  // null: prompts show none
  LoadedModel model_;
  // Items that may be ranked; a language model is asked about distinct titles.
  std::vector<int32_t> asked_;
  std::shared_ptr<const NewItems> new_items_;
  std::optional<Trend> trend_;       // of the language model's card, unless switched off
  std::unique_ptr<TitleBeam> beam_;  // once the weights are there
  mutable std::mutex computing_;
};

}  // namespace etrlrec
