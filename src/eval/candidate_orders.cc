#include "eval/candidate_orders.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {

std::vector<int32_t> candidate_order(int32_t n, uint64_t seed, int64_t row, int64_t order) {
  std::vector<int32_t> slots(static_cast<size_t>(n));
  std::iota(slots.begin(), slots.end(), 0);
  if (order == 0) return slots;
  Rng rng(seed, fmt::format("candidate order/{}", order), static_cast<uint64_t>(row));
  rng.shuffle(slots);
  return slots;
}

Request in_order(const Request& request, std::span<const int32_t> order) {
  Request result = request;
  for (size_t place = 0; place < order.size(); ++place)
    result.candidates[place] = request.candidates.at(static_cast<size_t>(order[place]));
  const auto target = std::find(order.begin(), order.end(), request.target_slot);
  if (target != order.end()) result.target_slot = static_cast<int32_t>(target - order.begin());
  return result;
}

void check_orders(const PromptOptions& prompt, int64_t permutations) {
  CHECK(permutations >= 1, kUsage, "--permutations: expected at least 1, found {}", permutations);
  CHECK(permutations == 1 || prompt.answer == AnswerKind::kNumber || prompt.list_candidates, kUsage,
        "--permutations {}: expected a model whose prompts number or list the candidates, found "
        "one that answers by title and does not see them: their order changes nothing",
        permutations);
}

}  // namespace etrlrec
