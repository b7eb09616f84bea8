#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/ranks.h"

namespace etrlrec {
namespace {

TEST(Ranks, equals_share_their_mean_rank) {
  EXPECT_EQ(mean_rank(std::vector<float>{3, 1, 3, 2}, 0), 1.5);
  EXPECT_EQ(mean_rank(std::vector<float>{3, 1, 3, 2}, 1), 4);
  EXPECT_EQ(mean_rank(std::vector<double>(20, 0.5), 3), 10.5);
}

TEST(Ranks, refuses_what_has_no_rank) {
  EXPECT_THROW(mean_rank(std::vector<float>{1, std::nanf("")}, 0), Error);
  EXPECT_THROW(mean_rank(std::vector<float>{1, 2}, 2), Error);
  EXPECT_THROW(mean_rank(std::vector<float>{}, 0), Error);
}

}  // namespace
}  // namespace etrlrec
