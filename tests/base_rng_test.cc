#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

TEST(Rng, same_name_gives_the_same_stream_and_another_name_another) {
  Rng a(42, "split"), b(42, "split"), c(42, "candidates"), d(42, "split", 1);
  const uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
  EXPECT_NE(first, d.next());
}

TEST(Rng, state_restores_the_stream) {
  Rng a(1, "x");
  a.next();
  const Rng::State state = a.state();
  const uint64_t expected = a.next();
  Rng b(2, "y");
  b.set_state(state);
  EXPECT_EQ(b.next(), expected);
}

TEST(Rng, below_is_uniform) {
  Rng rng(7, "below");
  std::vector<int> counts(10);
  for (int i = 0; i < 100000; ++i) ++counts[rng.below(10)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
}

TEST(Rng, normal_has_unit_moments) {
  Rng rng(7, "normal");
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double value = rng.normal();
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.03);
}

TEST(Rng, weighted_never_draws_a_zero_weight) {
  Rng rng(7, "weighted");
  const std::vector<double> weights = {0, 1, 0, 3, 0};
  int threes = 0;
  for (int i = 0; i < 10000; ++i) {
    const size_t drawn = rng.weighted(weights);
    ASSERT_TRUE(drawn == 1 || drawn == 3);
    threes += drawn == 3;
  }
  EXPECT_NEAR(threes, 7500, 200);
}

TEST(Rng, empty_draws_are_errors) {
  Rng rng(7, "errors");
  EXPECT_THROW(rng.below(0), Error);
  EXPECT_THROW(rng.weighted(std::vector<double>{0, 0}), Error);
}

TEST(Rng, shuffle_keeps_the_elements) {
  Rng rng(7, "shuffle");
  std::vector<int> values(100);
  std::iota(values.begin(), values.end(), 0);
  std::vector<int> shuffled = values;
  rng.shuffle(shuffled);
  EXPECT_NE(shuffled, values);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, values);
}

}  // namespace
}  // namespace etrlrec
