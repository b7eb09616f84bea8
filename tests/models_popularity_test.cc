#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "models/popularity.h"
#include "models_recommender_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

TEST(Popularity, scores_are_the_logs_of_add_one_shares) {
  const auto scores = scores_of(*kPopularity.count(two_user_log(), {}), {}, 0);
  EXPECT_NEAR(scores[0], std::log(0.4), 1e-6);
  EXPECT_NEAR(scores[1], std::log(0.3), 1e-6);
  EXPECT_NEAR(scores[3], std::log(0.1), 1e-6);
}

TEST(Recency, equals_the_sum_over_events_before_the_request) {
  const InteractionLog log = two_user_log();
  const auto model = kRecency.count(log, {{"half_life_days", 7.0}});
  for (const int64_t now : {15 * kDay, 15 * kDay + 1, 31 * kDay, 400 * kDay}) {
    std::vector<double> sums(4, 0.0);
    for (size_t i = 0; i < log.items.size(); ++i)
      if (log.times[i] < now)
        sums[log.items[i]] += std::exp2(-static_cast<double>(now - log.times[i]) / (7 * kDay));
    const auto scores = scores_of(*model, {}, now);
    EXPECT_NEAR(scores[1] - scores[0], std::log(sums[1] / sums[0]), 1e-5) << now;
    if (sums[2] > 0) {
      EXPECT_NEAR(scores[2] - scores[0], std::log(sums[2] / sums[0]), 1e-5) << now;
    }
  }
}

TEST(Recency, knows_nothing_before_the_first_event_and_stays_finite_after_years) {
  const auto model = kRecency.count(two_user_log(), {{"half_life_days", 1.0}});
  const auto before = scores_of(*model, {}, 0), after = scores_of(*model, {}, 100000 * kDay);
  EXPECT_EQ(before[0], before[3]);
  EXPECT_GT(after[2], after[0]);
  for (double score : after) EXPECT_TRUE(std::isfinite(score));
}

TEST(Popularity, comes_back_from_its_folder) {
  expect_round_trip("popularity", {});
  expect_round_trip("recency", {{"half_life_days", 3.0}});
}

TEST(Popularity, refuses_bad_options_logs_and_damaged_folders) {
  EXPECT_THROW(kRecency.count(two_user_log(), {{"half_life_days", 0.0}}), Error);
  EXPECT_THROW(kRecency.count(two_user_log(), {{"half_life_days", int64_t{3}}}), Error);
  InteractionLog log = two_user_log();
  log.items[0] = 4;
  EXPECT_THROW(kPopularity.count(log, {}), Error);
  EXPECT_THROW(kRecency.count(log, {}), Error);
  const ScopedFolder folder("damaged-recency");
  kRecency.count(two_user_log(), {})->save(folder.path());
  const fs::path file = folder.path() / "model.safetensors";
  ParameterMap tensors = load_safetensors(file);
  tensors["times"] = tensors.at("times").flip(0).contiguous();
  save_safetensors(tensors, file);
  EXPECT_THROW(load_recommender(folder.path()), Error);
}

}  // namespace
}  // namespace etrlrec
