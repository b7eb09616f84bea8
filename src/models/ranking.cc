#include "models/ranking.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "base/check.h"
#include "kernels/vectorize.h"

namespace etrlrec {
namespace {

constexpr int64_t kTileScores = int64_t{1} << 22;  // at most 16 MiB of scores at a time
constexpr int64_t kTileRows = 128;

// Twice the number of higher scores plus the number of equal ones; -1 where a score is NaN.
ETRLREC_VECTORIZE
int64_t count_above(const float* __restrict scores, int64_t size, float target) {
  int64_t total = 0, not_numbers = 0;
  for (int64_t begin = 0; begin < size; begin += 1 << 20) {  // keeps the inner sums in 32 bits
    const int64_t end = begin + (1 << 20) < size ? begin + (1 << 20) : size;
    int32_t sum = 0, nans = 0;
    for (int64_t i = begin; i < end; ++i) {
      sum += (scores[i] > target) + (scores[i] >= target);
      nans += scores[i] != scores[i];
    }
    total += sum;
    not_numbers += nans;
  }
  return not_numbers == 0 ? total : -1;
}

// Twice the number of items above a target; of two with equal scores each is half above the other.
int64_t doubled_above(std::span<const float> scores, int32_t target) {
  const int64_t above =
      count_above(scores.data(), std::ssize(scores), scores[static_cast<size_t>(target)]);
  CHECK(above >= 0, kNumbers, "ranking: expected scores that are numbers, found NaN");
  return above - 1;  // the target equals itself
}

// The same of the items in the task's history.
int64_t doubled_seen_above(std::span<const float> scores, const RankingTask& task) {
  const auto score = [scores](int32_t item) { return scores[static_cast<size_t>(item)]; };
  const float target = score(task.target);
  std::vector<int32_t> seen(task.history.items.begin(), task.history.items.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  int64_t doubled = 0;
  for (const int32_t item : seen)
    if (item != task.target) doubled += (score(item) > target) + (score(item) >= target);
  return doubled;
}

double rank_below(int64_t doubled) { return 1 + static_cast<double>(doubled) / 2; }

}  // namespace

double full_rank(std::span<const float> scores, const RankingTask& task, bool mask_seen) {
  const int64_t above = doubled_above(scores, task.target);
  return rank_below(mask_seen ? above - doubled_seen_above(scores, task) : above);
}

FullRanks full_ranks(const Recommender& model, std::span<const RankingTask> tasks,
                     const std::function<void(int64_t done)>& on_progress) {
  const int64_t items = model.num_items(), count = static_cast<int64_t>(tasks.size());
  for (const RankingTask& task : tasks)
    CHECK(task.target >= 0 && task.target < items, kInput, "ranking: target {} is not in [0, {})",
          task.target, items);
  const int64_t tile = std::clamp<int64_t>(kTileScores / items, 1, kTileRows);
  FullRanks ranks{std::vector<double>(tasks.size()), std::vector<double>(tasks.size())};
  std::vector<HistoryView> histories;
  for (int64_t begin = 0; begin < count; begin += tile) {
    const int64_t end = std::min(count, begin + tile);
    histories.clear();
    for (int64_t i = begin; i < end; ++i) histories.push_back(tasks[i].history);
    const at::Tensor scores = model.score(histories).contiguous();  // [end - begin, N]
    const float* data = scores.const_data_ptr<float>();
    at::parallel_for(begin, end, 8, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const std::span<const float> row{data + (i - begin) * items, static_cast<size_t>(items)};
        const int64_t above = doubled_above(row, tasks[i].target);
        ranks.all[i] = rank_below(above);
        ranks.unseen[i] = rank_below(above - doubled_seen_above(row, tasks[i]));
      }
    });
    if (on_progress) on_progress(end);
  }
  return ranks;
}

}  // namespace etrlrec
