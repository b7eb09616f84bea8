// Rankings of the whole catalogue: every item is a candidate of every row, as in models/ranking and
// `fit --evaluate full`. A model gives the scores of all items for a few rows at a time; ranks and
// best items stay, the scores do not.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/synthetic.h"
#include "eval/predictions.h"
#include "eval/protocol.h"
#include "models/ranking.h"
#include "models/recommender.h"

namespace etrlrec {

// Rows of a split with their histories and targets.
struct FullRows {
  std::vector<Row> rows;
  std::vector<RankingTask> tasks;  // of the rows; they point into the data set
  bool mask_seen = false;          // items of a row's history are no candidates, but its target is
};

// Rows [begin, end) with the scores of all items, higher is better. Ranks are not filled in.
using AskCatalogue = std::function<Predictions(int64_t begin, int64_t end)>;

AskCatalogue ask_recommender(const Recommender& recommender, const FullRows& rows);
AskCatalogue ask_at_random(int64_t num_items, uint64_t seed);
// The world's exact next-item probabilities.
AskCatalogue ask_world(const World& world, const FullRows& rows);
// A language model that answers by title, with the protocol "likelihood"; the scores are
// log-probabilities among all titles. `requests` are those of the rows, without candidates. An item
// has the score of its title: of items with equal titles (canonical_items) one is asked about.
AskCatalogue ask_titles(const LanguageModel& model, const PromptEncoder& encoder,
                        const std::vector<Request>& requests, const ProtocolOptions& options);
// weight * first + (1 - weight) * second; both are scores up to a constant of each row, so that the
// ranking is that of eval/mix.h.
AskCatalogue ask_mix(AskCatalogue first, AskCatalogue second, double weight);

// Items by their titles: of those with equal ones (canonical_items) a model is asked about the
// first.
struct DistinctTitles {
  std::vector<int32_t> items;   // that are asked about, ascending
  std::vector<int32_t> places;  // [N] of each item's title among `items`
};
DistinctTitles distinct_titles(const Catalogue& catalogue);
// The `count` best of some items, best first; equal scores in the catalogue's order. `scores`: [N].
std::vector<int32_t> best_items(std::span<const float> scores, std::vector<int32_t> items,
                                int64_t count);
// The `count` best items of a row, best first; equal scores in the catalogue's order. A target of
// -1 is none.
std::vector<int32_t> best_items(std::span<const float> scores, const RankingTask& task,
                                bool mask_seen, int64_t count);

// Predictions of all rows: target_slot is the target's item, answer the best item + 1, the rank
// that of full_rank (models/ranking.h). They hold no scores.
Predictions rank_catalogue(const FullRows& rows, int64_t num_items, const AskCatalogue& ask,
                           const ProgressFn& on_progress = {});

// The weight of the first model, chosen as choose_mix_weight does (eval/mix.h).
double choose_full_mix_weight(const FullRows& rows, int64_t num_items, const AskCatalogue& first,
                              const AskCatalogue& second, const ProgressFn& on_progress = {});

// "likelihood[all1682]", "score[all1682,mask-seen]"
std::string full_protocol_name(const std::string& name, int64_t num_items, bool mask_seen);

}  // namespace etrlrec
