#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "models/fpmc.h"
#include "models/recommender_loss.h"
#include "models_recommender_fixture.h"
#include "refusals.h"
#include "train/next_item_objective.h"

namespace etrlrec {
namespace {

using at::Tensor;

Tensor fpmc_scores(const Recommender& model, const std::vector<int32_t>& items, int32_t user) {
  const HistoryView view{items, {}, 0, user};
  return model.score({&view, 1})[0];
}

Fpmc fpmc_with_users() {
  Fpmc model({5, 3, 4}, 3);
  const at::NoGradGuard no_grad;
  Tensor& users = model.parameters().at("user_embeddings.weight");
  users.copy_(at::arange(12).reshape({3, 4}) * 0.2 - 1);
  return model;
}

TEST(Fpmc, scores_equal_the_formula) {
  Fpmc model = fpmc_with_users();
  const ParameterMap& p = model.parameters();
  for (const int32_t user : {-1, 0, 2}) {
    const Tensor found = fpmc_scores(model, {4, 1, 3}, user);
    for (int64_t item = 0; item < 5; ++item) {
      double expected = 0;
      for (int64_t k = 0; k < 4; ++k) {
        const Tensor factors = p.at("item_embeddings.weight")[item];
        if (user >= 0)
          expected +=
              p.at("user_embeddings.weight")[user][k].item<double>() * factors[k].item<double>();
        expected += p.at("last_item_embeddings.weight")[3][k].item<double>() *
                    factors[4 + k].item<double>();
      }
      EXPECT_NEAR(found[item].item<double>(), expected, 1e-6) << user << " " << item;
    }
  }
}

// The gradients of Rendle et al. 2010, section 5.1: with δ = 1 - σ(s+ - s-), a step of S-BPR moves
// v_u by δ (v_i^U - v_j^U), v_i^U by δ v_u, v_j^U by -δ v_u, and so on.
TEST(Fpmc, a_step_of_bpr_moves_the_factors_as_the_paper_says) {
  Fpmc model = fpmc_with_users();
  const ParameterMap& p = model.parameters();
  ItemSequences sequences;
  sequences.add_history({std::vector<int32_t>{3}, {}, 0, 2});
  const int64_t next = 1, other = 4;
  const Tensor loss =
      recommender_loss({.name = "bpr", .num_negatives = 1}, model.hidden_states(sequences),
                       model.item_weight(), {}, at::tensor(std::vector<int64_t>{next}),
                       {at::tensor(std::vector<int64_t>{other}).view({1, 1}), {}});
  loss.backward();
  const at::NoGradGuard no_grad;
  const Tensor scores = fpmc_scores(model, {3}, 2);
  const Tensor delta = 1 - at::sigmoid(scores[next] - scores[other]);
  const Tensor items = p.at("item_embeddings.weight"), user = p.at("user_embeddings.weight")[2],
               last = p.at("last_item_embeddings.weight")[3];
  const auto expect = [&](const Tensor& gradient, const Tensor& move) {
    EXPECT_TRUE(at::allclose(gradient, -delta * move, 1e-4, 1e-6));
  };
  const Tensor between = items[next] - items[other];
  expect(p.at("user_embeddings.weight").grad()[2], between.slice(0, 0, 4));
  expect(p.at("last_item_embeddings.weight").grad()[3], between.slice(0, 4));
  expect(items.grad()[next], at::cat({user, last}));
  expect(items.grad()[other], -at::cat({user, last}));
  EXPECT_EQ(p.at("user_embeddings.weight").grad()[0].abs().sum().item<double>(), 0);
}

// Two users of opposite habits over the same last items: only their vectors can tell them apart.
TEST(Fpmc, learns_users_and_what_follows_what) {
  InteractionLog log;
  log.num_items = 6;
  for (int32_t user = 0; user < 2; ++user) {
    for (int32_t i = 0; i < 40; ++i) {
      log.items.push_back(i % 2 == 0 ? 0 : 1 + 2 * user + (i / 2) % 2);
      log.times.push_back(i);
    }
    log.user_offsets.push_back(static_cast<int64_t>(log.items.size()));
  }
  Fpmc model({6, 2, 8}, 3);
  NextItemObjective objective(model, log, 5, {.name = "bpr", .num_negatives = 3});
  TrainerOptions options = next_item_trainer_options();
  options.learning_rate = 0.05;
  options.num_train_epochs = 100;
  options.early_stopping_patience = 0;
  const ScopedFolder folder("fpmc-training");
  train(objective, options, folder.path());
  for (int32_t user = 0; user < 2; ++user) {
    const Tensor scores = fpmc_scores(model, {0}, user);
    EXPECT_LT(std::max(scores[3 - 2 * user].item<double>(), scores[4 - 2 * user].item<double>()),
              std::min(scores[1 + 2 * user].item<double>(), scores[2 + 2 * user].item<double>()));
    EXPECT_EQ(fpmc_scores(model, {1 + 2 * user}, user).argmax().item<int64_t>(), 0);
  }
}

}  // namespace
}  // namespace etrlrec
