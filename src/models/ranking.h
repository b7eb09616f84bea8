// Ranks of targets over the whole catalogue, tile by tile, so that memory does not grow with the
// number of requests.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/recommender.h"

namespace etrlrec {

struct RankingTask {
  HistoryView history;
  int32_t target = 0;
};

// Rank of a target among the scores of all items, [N]: 1 + items with a higher score + half the
// number of other items with the same score. With mask_seen the items of the history are left out,
// the target itself excepted. Error (kNumbers) where a score is NaN.
double full_rank(std::span<const float> scores, const RankingTask& task, bool mask_seen);

// The full_rank of every task's target: among all items, and without those of the history.
struct FullRanks {
  std::vector<double> all, unseen;
};
FullRanks full_ranks(const Recommender& model, std::span<const RankingTask> tasks,
                     const std::function<void(int64_t done)>& on_progress = {});

}  // namespace etrlrec
