#include <gtest/gtest.h>

#include <vector>

#include "base/nearest_word.h"

namespace etrlrec {
namespace {

TEST(NearestWord, counts_what_must_be_typed) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("recomend", "recommend"), 1u);
}

TEST(NearestWord, takes_the_first_of_the_nearest_below_the_limit) {
  const std::vector<std::string> known = {"fit", "distill", "Construct"};
  EXPECT_EQ(nearest_word("distil", known, 3), "distill");
  EXPECT_EQ(nearest_word("CONSTRUCT", known, 1), "Construct");
  EXPECT_EQ(nearest_word("hit", known, 2), "fit");
  EXPECT_EQ(nearest_word("frobnicate", known, 4), "");
  EXPECT_EQ(nearest_word("fit", {}, 4), "");
}

TEST(NearestWord, a_message_names_the_word_that_was_meant) {
  const std::vector<std::string> known = {"hidden-size", "batch-size"};
  EXPECT_EQ(did_you_mean("hiden-size", known), "; did you mean \"hidden-size\"?");
  EXPECT_EQ(did_you_mean("learning-rate", known), "");
}

}  // namespace
}  // namespace etrlrec
