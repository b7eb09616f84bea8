#include "train/next_item_objective.h"

#include <algorithm>

#include "base/check.h"
#include "nn/logprob.h"

namespace etrlrec {

NextItemObjective::NextItemObjective(TrainableRecommender& model, const InteractionLog& log,
                                     uint64_t seed)
    : model_(model), log_(log), seed_(seed) {
  check_log(log);
  CHECK(log.num_items == model.num_items(), kModel, "{}: the model has {} items, the log {}",
        model.name(), model.num_items(), log.num_items);
  const int64_t length = model.max_length();
  const auto num_users = static_cast<int64_t>(log.user_offsets.size()) - 1;
  for (int64_t user = 0; user < num_users; ++user) {
    const int64_t targets = log.user_offsets[user + 1] - log.user_offsets[user] - 1;
    // A long history is cut at any offset: up to one window more than without.
    const int64_t windows = targets <= length ? (targets > 0) : (targets - 2) / length + 2;
    for (int64_t window = 0; window < windows; ++window) {
      users_.push_back(user);
      windows_.push_back(window);
    }
  }
}

TrainerOptions next_item_trainer_options() {
  TrainerOptions options;
  options.learning_rate = 1e-3;
  options.lr_scheduler_type = "constant";
  options.warmup_ratio = 0;
  options.weight_decay = 0;
  options.max_grad_norm = 0;
  options.train_batch_size = 256;
  options.num_train_epochs = 200;
  options.early_stopping_patience = 15;
  options.label = "";
  return options;
}

// The first window of a long history has a random number of targets; the last one may stay empty.
void NextItemObjective::begin_epoch(int64_t epoch) {
  const int64_t length = model_.max_length();
  Rng rng(seed_, model_.name() + " windows", static_cast<uint64_t>(epoch));
  first_.assign(log_.user_offsets.size() - 1, length);
  for (size_t user = 0; user < first_.size(); ++user) {
    const int64_t targets = log_.user_offsets[user + 1] - log_.user_offsets[user] - 1;
    if (targets <= length) continue;
    first_[user] = 1 + static_cast<int64_t>(rng.below(static_cast<uint64_t>(length)));
  }
}

LossOutput NextItemObjective::loss(std::span<const int64_t> rows, int64_t, Rng& rng) {
  const int64_t length = model_.max_length();
  TokenForest forest;
  std::vector<int64_t> targets, window;
  for (const int64_t row : rows) {
    const int64_t user = users_[static_cast<size_t>(row)];
    const int64_t number = windows_[static_cast<size_t>(row)];
    const int64_t begin = log_.user_offsets[user], last = log_.user_offsets[user + 1] - 1;
    const int64_t first = first_[static_cast<size_t>(user)];
    const int64_t from = begin + (number == 0 ? 0 : first + (number - 1) * length);
    const int64_t to = std::min(last, from + (number == 0 ? first : length));
    if (from >= to) continue;  // nothing is left for the last window in this epoch
    window.assign(log_.items.begin() + from, log_.items.begin() + to);
    forest.add(-1, window);
    targets.insert(targets.end(), log_.items.begin() + from + 1, log_.items.begin() + to + 1);
  }
  const auto count = static_cast<int64_t>(targets.size());
  if (count == 0) return {model_.item_weight().sum() * 0, 0, {}};
  const at::Tensor hidden = model_.hidden_states(forest, &rng);
  const at::Tensor weights = at::full({count}, 1.0 / static_cast<double>(count));
  return {linear_nll(hidden, model_.item_weight(), at::tensor(targets), weights, model_.numerics()),
          count,
          {}};
}

}  // namespace etrlrec
