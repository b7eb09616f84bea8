// The next-item objective of recommenders that are trained: a loss of the next item
// (models/recommender_loss.h) at every position of every user's training sequence. A row is a
// window of at most max_length inputs; the windows of a user do not overlap, and where they are cut
// changes from epoch to epoch, so that every target comes once an epoch, under contexts of varying
// length.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "models/recommender.h"
#include "models/recommender_loss.h"
#include "train/trainer.h"

namespace etrlrec {

// The defaults of this kind of training: a constant rate, no weight decay, early stopping, and
// no label.
TrainerOptions next_item_trainer_options();

class NextItemObjective : public Objective {
 public:
  // Both outlive the objective. A user with fewer than two interactions gives no row. Error
  // (kModel) when the log has another number of items than the model. Windows are cut by the stream
  // "<name of the model> windows", negatives drawn by "negatives" of each micro-batch. Negatives
  // that a loss wants unseen are those that the user chose nowhere in the log; of a user who has
  // chosen all items they are only not the target.
  NextItemObjective(TrainableRecommender& model, const InteractionLog& log, uint64_t seed,
                    const LossOptions& loss = {.name = "ce"});

  int64_t num_rows() const override { return static_cast<int64_t>(users_.size()); }
  ParameterMap& parameters() override { return model_.parameters(); }
  Numerics numerics() const override { return model_.numerics(); }
  void begin_epoch(int64_t epoch) override;
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;

 private:
  struct Batch {
    ItemSequences sequences;    // inputs of the windows
    std::vector<int64_t> next;  // [T] item after each of them
  };
  Batch make_batch(std::span<const int64_t> rows) const;
  void sort_seen();

  TrainableRecommender& model_;
  const InteractionLog& log_;
  uint64_t seed_;
  LossOptions loss_;
  std::optional<NegativeSampler> sampler_;  // of losses with negatives
  std::vector<int32_t> seen_;               // items of each user, ascending, without repetition
  std::vector<std::span<const int32_t>> seen_by_;  // [U] into seen_; empty: nobody is left out
  std::vector<int64_t> users_;                     // [rows]
  std::vector<int64_t> windows_;                   // [rows] number of the window of its user
  std::vector<int64_t> first_;  // [U] targets in the first window of a user, in this epoch
};

}  // namespace etrlrec
