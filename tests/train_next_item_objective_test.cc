#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "models/ranking.h"
#include "models/sasrec.h"
#include "train/next_item_objective.h"

namespace etrlrec {
namespace {

SasrecConfig small_config() {
  SasrecConfig config;
  config.num_items = 12;
  config.hidden_size = 16;
  config.intermediate_size = 32;
  config.max_length = 5;
  config.dropout = 0.1;
  return config;
}

// Users of lengths 1, 3, 5, 6, 12 and 23 who walk through the catalogue in steps of one.
InteractionLog walking_log(int64_t num_items) {
  InteractionLog log;
  log.num_items = num_items;
  for (const int64_t length : {1, 3, 5, 6, 12, 23}) {
    for (int64_t i = 0; i < length; ++i) {
      log.items.push_back(static_cast<int32_t>((length + i) % num_items));
      log.times.push_back(i);
    }
    log.user_offsets.push_back(static_cast<int64_t>(log.items.size()));
  }
  return log;
}

TEST(NextItemObjective, visits_every_target_once_an_epoch) {
  const InteractionLog log = walking_log(12);
  Sasrec model(small_config(), 3);
  NextItemObjective objective(model, log, 5);
  EXPECT_EQ(objective.num_rows(), 1 + 1 + 1 + 3 + 6);
  Rng rng(1, "test");
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    objective.begin_epoch(epoch);
    int64_t targets = 0;
    for (int64_t row = 0; row < objective.num_rows(); ++row) {
      const int64_t tokens = objective.loss({&row, 1}, 0, rng).tokens;
      EXPECT_GE(tokens, 0);
      EXPECT_LE(tokens, 5);
      targets += tokens;
    }
    EXPECT_EQ(targets, 2 + 4 + 5 + 11 + 22);
  }
}

TEST(NextItemObjective, learns_what_follows_what) {
  const InteractionLog log = walking_log(12);
  Sasrec model(small_config(), 3);
  NextItemObjective objective(model, log, 5);
  TrainerOptions options;
  options.learning_rate = 1e-2;
  options.weight_decay = 0;
  options.num_train_epochs = 40;
  const fs::path folder = fs::temp_directory_path() / fmt::format("etrlrec-walk-{}", ::getpid());
  train(objective, options, folder);
  fs::remove_all(folder);
  std::vector<int32_t> items{4, 5, 6};
  const std::vector<RankingTask> tasks{{{items, {}, 0}, 7}, {{{items.data(), 2}, {}, 0}, 6}};
  EXPECT_EQ(full_ranks(model, tasks).all, (std::vector<double>{1, 1}));
}

TEST(NextItemObjective, refuses_a_model_of_another_catalogue) {
  const InteractionLog log = walking_log(13);
  Sasrec model(small_config(), 3);
  EXPECT_THROW(NextItemObjective(model, log, 5), Error);
}

}  // namespace
}  // namespace etrlrec
