// Reliability and temperature against numbers worked out by hand and rows drawn from known odds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "eval/calibration.h"
#include "eval/predictions.h"

namespace etrlrec {
namespace {

TEST(Calibration, groups_answers_by_their_probability) {
  const std::vector<std::vector<float>> values = {
      {0.85f, 0.15f}, {0.15f, 0.85f}, {0.55f, 0.45f}, {1, 0}};
  const int32_t targets[] = {0, 0, 0, 1};
  std::vector<AnswerProbabilities> rows;
  for (size_t r = 0; r < values.size(); ++r) rows.push_back({values[r], targets[r]});
  const Calibration found = measure_calibration(rows);
  ASSERT_EQ(found.bins.size(), 10u);
  EXPECT_EQ(found.bins[8].count, 2);
  EXPECT_NEAR(found.bins[8].confidence, 0.85, 1e-6);
  EXPECT_NEAR(found.bins[8].accuracy, 0.5, 1e-9);
  EXPECT_EQ(found.bins[5].count, 1);
  EXPECT_EQ(found.bins[9].count, 1);
  EXPECT_EQ(found.bins[0].count, 0);
  // (2 * .35 + .45 + 1) / 4
  EXPECT_NEAR(found.ece, 0.5375, 1e-6);
  // What float calls impossible costs log 1e30 and not infinity.
  const double nll = -(std::log(0.85) + std::log(0.15) + std::log(0.55) + std::log(1e-30)) / 4;
  EXPECT_NEAR(found.nll, nll, 1e-5);
  EXPECT_THROW(measure_calibration({}), Error);
  EXPECT_THROW(fit_temperature({}), Error);
}

TEST(Calibration, a_temperature_keeps_the_order_and_the_sum) {
  std::vector<double> p = {0.5, 0.3, 0.2};
  apply_temperature(p, 2);
  const double sum = std::sqrt(0.5) + std::sqrt(0.3) + std::sqrt(0.2);
  EXPECT_NEAR(p[0], std::sqrt(0.5) / sum, 1e-12);
  EXPECT_NEAR(p[2], std::sqrt(0.2) / sum, 1e-12);
  std::vector<double> same = {0.5, 0.3, 0.2}, extreme = {1, 1e-300, 0};
  apply_temperature(same, 1);
  EXPECT_EQ(same, (std::vector<double>{0.5, 0.3, 0.2}));
  apply_temperature(extreme, 0.1);
  EXPECT_EQ(extreme[0], 1);
}

// Targets drawn from softmax(z) and a model that says softmax(s z).
TEST(Calibration, the_temperature_is_found_that_a_model_is_too_sure_by) {
  Rng rng(7, "calibration test");
  for (const double sureness : {0.5, 1.0, 2.0}) {
    std::vector<std::vector<float>> said;
    std::vector<int32_t> targets;
    for (int r = 0; r < 4000; ++r) {
      std::vector<double> truth;
      for (int k = 0; k < 5; ++k) truth.push_back(std::exp(1.5 * rng.uniform() * k));
      apply_temperature(truth, 1.0000001);  // normalises
      double draw = rng.uniform();
      int32_t target = 0;
      while (target < 4 && draw >= truth[static_cast<size_t>(target)])
        draw -= truth[static_cast<size_t>(target++)];
      targets.push_back(target);
      apply_temperature(truth, 1 / sureness);
      said.emplace_back(truth.begin(), truth.end());
    }
    std::vector<AnswerProbabilities> rows;
    for (size_t r = 0; r < said.size(); ++r) rows.push_back({said[r], targets[r]});
    EXPECT_NEAR(fit_temperature(rows), sureness, 0.08 * sureness);
    const double before = measure_calibration(rows).ece;
    if (sureness == 1)
      EXPECT_LT(before, 0.02);
    else
      EXPECT_GT(before, 0.05);
  }
}

TEST(Calibration, only_protocols_with_probabilities_have_one) {
  Predictions predictions;
  predictions.num_candidates = 2;
  predictions.rows.resize(1);
  predictions.rows[0].rank = 1;
  predictions.rows[0].scores = {0.75f, 0.25f};
  predictions.protocol = "score[uniform2,seed=42]";
  EXPECT_FALSE(summarize(predictions).calibration);
  predictions.protocol = "likelihood[uniform2,seed=42]";
  ASSERT_TRUE(summarize(predictions).calibration);
  EXPECT_NEAR(summarize(predictions).calibration->ece, 0.25, 1e-6);
  predictions.rows[0].scores.clear();
  EXPECT_FALSE(summarize(predictions).calibration);
}

}  // namespace
}  // namespace etrlrec
