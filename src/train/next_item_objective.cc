#include "train/next_item_objective.h"

#include <algorithm>

#include "base/check.h"

namespace etrlrec {

NextItemObjective::NextItemObjective(TrainableRecommender& model, const InteractionLog& log,
                                     uint64_t seed, const LossOptions& loss)
    : model_(model), log_(log), seed_(seed), loss_(complete_loss(loss, "ce", log.num_items)) {
  check_log(log);
  CHECK(log.num_items == model.num_items(), kModel, "{}: the model has {} items, the log {}",
        model.name(), model.num_items(), log.num_items);
  const LossType& type = loss_type(loss_.name);
  if (type.negatives != NegativesOf::kNone)
    sampler_.emplace(popularity_weights(log, loss_.negative_alpha));
  if (type.leaves_out_seen) sort_seen();
  const int64_t length = model.max_length();
  for (int64_t user = 0; user < log.num_users(); ++user) {
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

// Counts as seen nothing of a user who has chosen all items: no negative would be left.
void NextItemObjective::sort_seen() {
  seen_ = log_.items;
  seen_by_.clear();
  for (int64_t user = 0; user < log_.num_users(); ++user) {
    const auto begin = seen_.begin() + log_.user_offsets[static_cast<size_t>(user)],
               end = seen_.begin() + log_.user_offsets[static_cast<size_t>(user) + 1];
    std::sort(begin, end);
    const auto distinct = static_cast<size_t>(std::unique(begin, end) - begin);
    if (distinct == static_cast<size_t>(log_.num_items)) {
      seen_by_.emplace_back();
    } else {
      seen_by_.emplace_back(begin, distinct);
    }
  }
}

NextItemObjective::Batch NextItemObjective::make_batch(std::span<const int64_t> rows) const {
  const int64_t length = model_.max_length();
  Batch batch;
  for (const int64_t row : rows) {
    const int64_t user = users_[static_cast<size_t>(row)];
    const int64_t number = windows_[static_cast<size_t>(row)];
    const int64_t begin = log_.user_offsets[user], last = log_.user_offsets[user + 1] - 1;
    const int64_t first = first_[static_cast<size_t>(user)];
    const int64_t from = begin + (number == 0 ? 0 : first + (number - 1) * length);
    const int64_t to = std::min(last, from + (number == 0 ? first : length));
    if (from >= to) continue;  // nothing is left for the last window in this epoch
    const auto start = static_cast<size_t>(from), inputs = static_cast<size_t>(to - from);
    batch.sequences.add_history({std::span(log_.items).subspan(start, inputs),
                                 std::span(log_.times).subspan(start, inputs), 0,
                                 static_cast<int32_t>(user)});
    batch.next.insert(batch.next.end(), log_.items.begin() + from + 1, log_.items.begin() + to + 1);
  }
  return batch;
}

LossOutput NextItemObjective::loss(std::span<const int64_t> rows, int64_t, Rng& rng) {
  const Batch batch = make_batch(rows);
  if (batch.next.empty()) return {model_.item_weight().sum() * 0, 0, {}};
  // Without negatives nothing is drawn for them.
  std::optional<Rng> draws;
  if (sampler_) draws.emplace(rng.next(), "negatives");
  const TrainingStates out = model_.training_states(batch.sequences, batch.next, rng);
  Negatives negatives;
  if (sampler_) {
    std::vector<std::span<const int32_t>> seen;
    if (!seen_by_.empty())
      for (const int64_t sequence : out.sequences) {
        const int32_t user = batch.sequences.users[static_cast<size_t>(sequence)];
        seen.push_back(seen_by_[static_cast<size_t>(user)]);
      }
    negatives = draw_negatives(loss_, *sampler_, out.targets, seen, *draws);
  }
  return {recommender_loss(loss_, out.states, model_.item_weight(), model_.item_bias(),
                           at::tensor(out.targets), negatives, model_.numerics()),
          static_cast<int64_t>(batch.next.size()),
          {}};
}

}  // namespace etrlrec
