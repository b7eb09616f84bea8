#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "models/item_knn.h"
#include "models_recommender_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

std::vector<double> votes_of(const Recommender& model, const std::vector<int32_t>& items,
                             const std::vector<int64_t>& times) {
  const HistoryView view{items, times, 0};
  const at::Tensor scores = model.score({&view, 1});
  std::vector<double> values;
  for (int64_t i = 0; i < scores.size(1); ++i) values.push_back(scores[0][i].item<double>());
  return values;
}

// Users of item 0: both; of item 1: both; of item 2: one; of item 3: none.
TEST(ItemKnn, votes_are_cosines_of_user_sets_that_halve_with_age) {
  const auto model = kItemKnn.count(two_user_log(), {{"decay_half_life_days", 2.0}});
  const auto one = votes_of(*model, {0}, {0});
  EXPECT_EQ(one[0], 0);
  EXPECT_NEAR(one[1], 1, 1e-6);
  EXPECT_NEAR(one[2], 1 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(one[3], 0);
  const auto two = votes_of(*model, {2, 0}, {0, 4 * kDay});  // item 2 is two half-lives old
  EXPECT_NEAR(two[1], 1 + 0.25 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(two, votes_of(*model, {2, 0}, {9 * kDay, 13 * kDay}));
  EXPECT_EQ(votes_of(*model, {}, {}), std::vector<double>(4, 0.0));
}

TEST(ItemKnn, equals_sums_over_all_pairs_of_user_sets) {
  Rng rng(4, "item-knn");
  InteractionLog log;
  log.num_items = 9;
  std::vector<std::set<int64_t>> users(9);
  for (int64_t user = 0; user < 12; ++user) {
    for (uint64_t n = rng.below(6); n > 0; --n) {
      log.items.push_back(static_cast<int32_t>(rng.below(9)));
      log.times.push_back(user);
      users[static_cast<size_t>(log.items.back())].insert(user);
    }
    log.user_offsets.push_back(std::ssize(log.items));
  }
  const auto model = kItemKnn.count(log, {{"decay_half_life_days", 1.0}});
  const std::vector<int32_t> items{3, 5, 3};
  const std::vector<int64_t> times{0, kDay, 3 * kDay};
  const auto found = votes_of(*model, items, times);
  for (int64_t j = 0; j < 9; ++j) {
    double expected = 0;
    for (size_t e = 0; e < items.size(); ++e) {
      const auto& own = users[static_cast<size_t>(items[e])];
      const auto& theirs = users[static_cast<size_t>(j)];
      double common = 0;
      for (const int64_t user : own) common += static_cast<double>(theirs.count(user));
      if (items[e] == j || common == 0) continue;
      expected += common / std::sqrt(static_cast<double>(own.size() * theirs.size())) *
                  std::exp2(-static_cast<double>(times.back() - times[e]) / kDay);
    }
    EXPECT_NEAR(found[static_cast<size_t>(j)], expected, 1e-6) << j;
  }
}

TEST(ItemKnn, keeps_the_nearest_neighbours_only) {
  const auto model = kItemKnn.count(two_user_log(), {{"neighbours", int64_t{1}}});
  const auto votes = votes_of(*model, {0}, {0});
  EXPECT_NEAR(votes[1], 1, 1e-6);
  EXPECT_EQ(votes[2], 0);
}

TEST(ItemKnn, comes_back_from_its_folder) {
  expect_round_trip("item-knn", {{"neighbours", int64_t{2}}, {"decay_half_life_days", 3.0}});
}

TEST(ItemKnn, refuses_bad_options_histories_and_damaged_folders) {
  EXPECT_THROW(kItemKnn.count(two_user_log(), {{"neighbours", int64_t{0}}}), Error);
  EXPECT_THROW(kItemKnn.count(two_user_log(), {{"decay_half_life_days", 0.0}}), Error);
  const auto model = kItemKnn.count(two_user_log(), {});
  EXPECT_THROW(votes_of(*model, {4}, {0}), Error);
  EXPECT_THROW(votes_of(*model, {1, 2}, {0}), Error);
  const ScopedFolder folder("damaged-item-knn");
  model->save(folder.path());
  const fs::path file = folder.path() / "model.safetensors";
  ParameterMap tensors = load_safetensors(file);
  tensors["users"] = at::zeros_like(tensors.at("users"));
  save_safetensors(tensors, file);
  EXPECT_THROW(load_recommender(folder.path()), Error);
}

}  // namespace
}  // namespace etrlrec
