// The rows of DELRec's two tasks (method.md B.3): what is asked about a row of the training part,
// and among which candidates. A row knows nothing later than its own event.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

struct TaskRowOptions {
  int32_t num_candidates = 15;  // the hidden item among them
  int32_t max_history = 50;     // entries that are shown
  uint64_t seed = 42;
};

class TaskRows {
 public:
  // `dataset` outlives this. Error (kUsage): fewer than two candidates.
  TaskRows(const Dataset& dataset, const Split& split, const TaskRowOptions& options);

  // Whether the last event before the row can be hidden: something stands before it, and it is
  // another title than the row's own, which is shown.
  bool can_analyse(const Row& row) const;
  // Temporal Analysis (temporal/masked_tasks.h): the history ends with the row's own event; the one
  // before it is the target.
  Request analysis(const Row& row) const;
  // Recommendation Pattern Simulating: the history before the row and this list; its first item is
  // the target, all of it among the candidates. Error (kUsage): not more candidates than items.
  Request simulating(const Row& row, std::span<const int32_t> list) const;

 private:
  // `wanted`, the target first, and items drawn uniformly from those with a training event, without
  // a title twice and without one that the user has chosen up to the row, in random order. A stream
  // of (seed, task, position). Error (kInput): not enough items.
  void add_candidates(const Row& row, std::string_view task, std::span<const int32_t> wanted,
                      Request& request) const;

  const Dataset& dataset_;
  TaskRowOptions options_;
  std::vector<int32_t> canonical_;  // [N]
  std::vector<int32_t> known_;      // items with a training event, ascending
};

}  // namespace etrlrec
