#include "train/completion_values.h"

#include <cmath>

#include "base/check.h"

namespace etrlrec {
namespace {

double value_of(const Completion& completion, std::span<const double> by_answer, bool exact) {
  if (completion.answer < 0) return by_answer.front();
  if (!exact) return by_answer[static_cast<size_t>(completion.answer)];
  double value = 0;
  for (size_t k = 0; k < by_answer.size(); ++k)
    value += std::exp(static_cast<double>(completion.answer_logprobs[k])) * by_answer[k];
  return value;
}

}  // namespace

std::vector<double> values_of(const RolloutBatch& batch, bool exact) {
  if (!exact) return batch.rewards;
  std::vector<double> values;
  for (size_t i = 0; i < batch.scored.size(); ++i)
    values.push_back(value_of(batch.completions[i], batch.scored[i].reward_by_answer, true));
  return values;
}

std::vector<ComponentRewards> components_of(std::span<const RolloutBatch* const> batches,
                                            bool exact) {
  std::vector<ComponentRewards> all(batches.front()->scored.front().components.size());
  for (const RolloutBatch* batch : batches) {
    for (size_t i = 0; i < batch->scored.size(); ++i) {
      const auto& components = batch->scored[i].components;
      CHECK(components.size() == all.size(), kFailure,
            "reward function: expected {} components, found {}", all.size(), components.size());
      for (size_t c = 0; c < all.size(); ++c) {
        all[c].values.push_back(value_of(batch->completions[i], components[c].by_answer, exact));
        all[c].weights.push_back(components[c].weight);
      }
    }
  }
  return all;
}

}  // namespace etrlrec
