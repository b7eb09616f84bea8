#include <gtest/gtest.h>

#include "base/strings.h"

namespace etrlrec {
namespace {

TEST(Strings, trimming_takes_blanks_at_both_ends_only) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim("a"), "a");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\va", " \n"), "\va");
}

TEST(Strings, lower_case_leaves_other_letters) {
  EXPECT_EQ(ascii_lower("AZ\u00c9-a"), "az\u00c9-a");
}

}  // namespace
}  // namespace etrlrec
