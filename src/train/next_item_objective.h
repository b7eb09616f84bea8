// The next-item objective of recommenders that are trained: cross-entropy over the full catalogue
// at every position of every user's training sequence. A row is a window of at most max_length
// inputs; the windows of a user do not overlap, and where they are cut changes from epoch to epoch,
// so that every target comes once an epoch, under contexts of varying length.
#pragma once

#include <cstdint>
#include <vector>

#include "models/recommender.h"
#include "train/trainer.h"

namespace etrlrec {

// The defaults of this kind of training: a constant rate, no weight decay, early stopping, and
// no label.
TrainerOptions next_item_trainer_options();

class NextItemObjective : public Objective {
 public:
  // Both outlive the objective. A user with fewer than two interactions gives no row. Error
  // (kModel) when the log has another number of items than the model. Windows are cut by the stream
  // "<name of the model> windows".
  NextItemObjective(TrainableRecommender& model, const InteractionLog& log, uint64_t seed);

  int64_t num_rows() const override { return static_cast<int64_t>(users_.size()); }
  ParameterMap& parameters() override { return model_.parameters(); }
  Numerics numerics() const override { return model_.numerics(); }
  void begin_epoch(int64_t epoch) override;
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;

 private:
  TrainableRecommender& model_;
  const InteractionLog& log_;
  uint64_t seed_;
  std::vector<int64_t> users_;    // [rows]
  std::vector<int64_t> windows_;  // [rows] number of the window of its user
  std::vector<int64_t> first_;    // [U] targets in the first window of a user, in this epoch
};

}  // namespace etrlrec
