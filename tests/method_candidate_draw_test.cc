#include <gtest/gtest.h>

#include <set>

#include "method/candidate_draw.h"

namespace etrlrec {
namespace {

TEST(DrawRows, takes_rows_of_many_users_in_stored_order) {
  std::vector<Row> rows;
  for (int32_t user = 0; user < 50; ++user)
    for (int64_t k = 0; k < 10; ++k) rows.push_back({user, 10 * user + k});
  const auto drawn = draw_rows(rows, 40, 7, "test");
  ASSERT_EQ(drawn.size(), 40u);
  std::set<int32_t> users;
  for (size_t r = 0; r < drawn.size(); ++r) {
    users.insert(drawn[r].user);
    if (r > 0) {
      EXPECT_LT(drawn[r - 1].position, drawn[r].position);
    }
  }
  EXPECT_GT(users.size(), 20u) << "the first rows would be those of four users";
  const auto again = draw_rows(rows, 40, 7, "test"), other = draw_rows(rows, 40, 8, "test");
  const auto same = [&](const std::vector<Row>& found) {
    return std::equal(found.begin(), found.end(), drawn.begin(), drawn.end(),
                      [](const Row& a, const Row& b) { return a.position == b.position; });
  };
  EXPECT_TRUE(same(again));
  EXPECT_FALSE(same(other));
  EXPECT_EQ(draw_rows(rows, 500, 7, "test").size(), 500u);
}

}  // namespace
}  // namespace etrlrec
