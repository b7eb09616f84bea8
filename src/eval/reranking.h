// Two stages over the whole catalogue (method.md G.7, F): a recommender's first items are the
// candidates that a language model ranks; all other items stay behind them in the recommender's
// order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/full_ranking.h"
#include "eval/predictions.h"

namespace etrlrec {

struct FirstStage {
  int64_t count = 0;                        // items of each row
  std::vector<std::vector<int32_t>> items;  // [rows] the best ones, best first
  std::vector<double> target_ranks;         // [rows] by the recommender, of full_rank
  double recall = 0;                        // share of the rows whose target is among the items
};
// With rows.mask_seen no item of a row's history but its target is among the items. Error (kUsage)
// where a row has fewer than `count` items.
FirstStage retrieve(const FullRows& rows, int64_t num_items, const AskCatalogue& recommender,
                    int64_t count, const ProgressFn& on_progress = {});

// Gives each request its row's items as candidates, in an order drawn from the stream of (seed,
// row): the recommender's order says too much, and so does a fixed place. target_slot is the
// target's, 0 where it is not among them.
void set_candidates(const FullRows& rows, const FirstStage& stage, uint64_t seed,
                    std::span<Request> requests);

// What a model said about those requests as predictions of the whole catalogue, as of
// rank_catalogue: the rank of a retrieved target is the model's, that of another one the
// recommender's, at least count + 1. They hold no scores.
Predictions reranked(const FullRows& rows, int64_t num_items, const FirstStage& stage,
                     std::span<const Request> requests, Predictions answers);

}  // namespace etrlrec
