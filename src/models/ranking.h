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

// Rank of every task's target: 1 + items with a higher score + half the number of other items with
// the same score. With mask_seen the items of the history are left out, the target itself excepted.
std::vector<double> full_ranks(const Recommender& model, std::span<const RankingTask> tasks,
                               bool mask_seen,
                               const std::function<void(int64_t done)>& on_progress = {});

}  // namespace etrlrec
