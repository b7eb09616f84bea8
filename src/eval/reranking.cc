#include "eval/reranking.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

bool is_retrieved(const FirstStage& stage, size_t row, int32_t item) {
  const std::vector<int32_t>& items = stage.items[row];
  return std::find(items.begin(), items.end(), item) != items.end();
}

}  // namespace

FirstStage retrieve(const FullRows& rows, int64_t num_items, const AskCatalogue& recommender,
                    int64_t count, const ProgressFn& on_progress) {
  CHECK(count >= 2 && count <= num_items, kUsage,
        "--top-n: expected 2 to the {} items of the catalogue, found {}", num_items, count);
  FirstStage stage;
  stage.count = count;
  const AskCatalogue keeping_items = [&](int64_t begin, int64_t end) {
    Predictions asked = recommender(begin, end);
    for (int64_t row = begin; row < end; ++row) {
      const RankingTask& task = rows.tasks[static_cast<size_t>(row)];
      stage.items.push_back(best_items(asked.rows[static_cast<size_t>(row - begin)].scores, task,
                                       rows.mask_seen, count));
      CHECK(std::ssize(stage.items.back()) == count, kUsage,
            "--top-n {}: row {} has only {} items that its user has not seen", count, row,
            stage.items.back().size());
    }
    return asked;
  };
  const Predictions ranked = rank_catalogue(rows, num_items, keeping_items, on_progress);
  for (size_t row = 0; row < ranked.rows.size(); ++row) {
    stage.target_ranks.push_back(ranked.rows[row].rank);
    stage.recall += is_retrieved(stage, row, rows.tasks[row].target);
  }
  if (!ranked.rows.empty()) stage.recall /= static_cast<double>(ranked.rows.size());
  return stage;
}

void set_candidates(const FullRows& rows, const FirstStage& stage, uint64_t seed,
                    std::span<Request> requests) {
  for (size_t row = 0; row < requests.size(); ++row) {
    Request& request = requests[row];
    request.candidates = stage.items[row];
    Rng rng(seed, "retrieved candidates", row);
    rng.shuffle(request.candidates);
    const auto at =
        std::find(request.candidates.begin(), request.candidates.end(), rows.tasks[row].target);
    request.target_slot =
        at == request.candidates.end() ? 0 : static_cast<int32_t>(at - request.candidates.begin());
  }
}

Predictions reranked(const FullRows& rows, int64_t num_items, const FirstStage& stage,
                     std::span<const Request> requests, Predictions answers) {
  for (size_t r = 0; r < answers.rows.size(); ++r) {
    Prediction& prediction = answers.rows[r];
    const int32_t target = rows.tasks[r].target;
    if (!is_retrieved(stage, r, target))
      prediction.rank = std::max(stage.target_ranks[r], static_cast<double>(stage.count) + 1);
    const auto place = static_cast<size_t>(std::max(prediction.answer - 1, 0));
    prediction.answer = requests[r].candidates.at(place) + 1;
    prediction.target_slot = target;
    prediction.user = rows.rows[r].user;
    prediction.scores = std::vector<float>();
  }
  answers.protocol = fmt::format("top{}+{}", stage.count, answers.protocol);
  answers.num_candidates = static_cast<int32_t>(num_items);
  return answers;
}

}  // namespace etrlrec
