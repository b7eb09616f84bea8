// The mix of two models against numbers worked out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "eval/mix.h"

namespace etrlrec {
namespace {

Predictions predictions(const std::string& protocol, std::vector<std::vector<float>> scores,
                        std::vector<int32_t> targets) {
  Predictions made;
  made.protocol = protocol;
  made.num_candidates = static_cast<int32_t>(scores[0].size());
  for (size_t r = 0; r < scores.size(); ++r) {
    Prediction row;
    row.row = static_cast<int64_t>(r);
    row.target_slot = targets[r];
    row.scores = scores[r];
    made.rows.push_back(row);
  }
  return made;
}

TEST(Mix, multiplies_powers_of_probabilities) {
  const Predictions model = predictions("likelihood", {{0.5f, 0.25f, 0.25f}}, {1});
  // Logits: probabilities 1/6, 4/6, 1/6 after the softmax.
  const Predictions recommender =
      predictions("score", {{0, static_cast<float>(std::log(4)), 0}}, {1});
  const Prediction row = mix_predictions(model, recommender, 0.5).rows[0];
  const double a = std::sqrt(0.5 / 6), b = std::sqrt(0.25 * 4 / 6), c = std::sqrt(0.25 / 6);
  EXPECT_NEAR(row.scores[0], a / (a + b + c), 1e-6);
  EXPECT_NEAR(row.scores[1], b / (a + b + c), 1e-6);
  EXPECT_EQ(row.answer, 2);
  EXPECT_EQ(row.rank, 1);
  EXPECT_EQ(mix_predictions(model, recommender, 1).rows[0].answer, 1);
  EXPECT_EQ(mix_predictions(model, recommender, 1).rows[0].rank, 2.5);
  EXPECT_EQ(mix_predictions(model, recommender, 0).rows[0].answer, 2);
}

TEST(Mix, the_weight_is_the_best_one_on_the_given_rows) {
  // The first model is right on both rows, the second on none, and the other way round.
  const Predictions right = predictions("likelihood", {{0.9f, 0.1f}, {0.1f, 0.9f}}, {0, 1});
  const Predictions wrong = predictions("score", {{0, 3}, {3, 0}}, {0, 1});
  EXPECT_EQ(choose_mix_weight(right, wrong), 1);
  EXPECT_LT(choose_mix_weight(wrong, right), 0.5);
  // Where each is sure on the row where the other one is not, only a mix gets both.
  const Predictions first = predictions("likelihood", {{0.99f, 0.01f}, {0.55f, 0.45f}}, {0, 1});
  const Predictions second = predictions("score", {{0, 0.3f}, {0, 3}}, {0, 1});
  const double weight = choose_mix_weight(first, second);
  EXPECT_GT(weight, 0);
  EXPECT_LT(weight, 1);
  for (const Prediction& row : mix_predictions(first, second, weight).rows) EXPECT_EQ(row.rank, 1);
}

TEST(Mix, refuses_other_rows_and_protocols_without_probabilities) {
  const Predictions model = predictions("likelihood", {{0.5f, 0.5f}}, {0});
  EXPECT_THROW(mix_predictions(model, predictions("score", {{0, 1}, {1, 0}}, {0, 0}), 0.5), Error);
  EXPECT_THROW(mix_predictions(model, predictions("score", {{0, 1}}, {1}), 0.5), Error);
  EXPECT_THROW(mix_predictions(model, predictions("title-sum", {{0, 1}}, {0}), 0.5), Error);
}

}  // namespace
}  // namespace etrlrec
