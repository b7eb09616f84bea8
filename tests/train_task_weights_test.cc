// Weights of several tasks: vectors worked out by hand, and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "refusals.h"
#include "train/task_weights.h"

namespace etrlrec {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Vector {
  std::vector<double> values, weights;
};

void expect_weights(const std::vector<double>& found, const Vector& vector) {
  ASSERT_EQ(found.size(), vector.weights.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], vector.weights[i], 1e-12);
}

TEST(TaskWeights, equal) {
  EXPECT_EQ(equal_weights(1), std::vector<double>{1});
  EXPECT_EQ(equal_weights(4), std::vector<double>(4, 0.25));
}

TEST(TaskWeights, by_the_norms_of_gradients) {
  const Vector vectors[] = {
      {{3, 3}, {0.5, 0.5}},
      {{1, 4}, {2.0 / 3, 1.0 / 3}},  // 1 : 1/2
      {{0.01, 1, 25}, {10 / 11.2, 1 / 11.2, 0.2 / 11.2}},
      {{0, 4}, {0, 1}},
      {{0, 0}, {0.5, 0.5}},
      {{7}, {1}},
  };
  for (const Vector& vector : vectors) expect_weights(gradient_norm_weights(vector.values), vector);
  for (const double wrong : {-1.0, kInfinity, std::nan("")})
    refuses([&] { gradient_norm_weights(std::vector{1.0, wrong}); }, ExitCode::kNumbers, "norm");
}

TEST(TaskWeights, by_gains_on_the_main_task) {
  const Vector vectors[] = {
      {{0.3, 0.1}, {0.75, 0.25}},
      {{0.3, -0.1}, {1, 0}},
      {{-2, 0.5, 1.5}, {0, 0.25, 0.75}},
      {{-0.3, -0.1}, {0.5, 0.5}},  // no step helps
      {{0, 0, 0}, {1.0 / 3, 1.0 / 3, 1.0 / 3}},
      {{-5}, {1}},
  };
  for (const Vector& vector : vectors) expect_weights(gain_weights(vector.values), vector);
  for (const double wrong : {-kInfinity, kInfinity, std::nan("")})
    refuses([&] { gain_weights(std::vector{1.0, wrong}); }, ExitCode::kNumbers, "gain");
}

TEST(TaskWeights, have_names) {
  EXPECT_EQ(task_weighting_names(), (std::vector<std::string>{"equal", "gradient-norm", "gain"}));
  EXPECT_EQ(task_weighting("gain"), TaskWeighting::kGain);
  EXPECT_EQ(task_weighting("gradient-norm"), TaskWeighting::kGradientNorm);
  refuses([] { task_weighting("norm"); }, ExitCode::kUsage, "equal, gradient-norm, gain");
}

}  // namespace
}  // namespace etrlrec
