// A recipe continues its own runs only: what recipe.json says is compared before anything is done.
#include <gtest/gtest.h>

#include <string>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "method/recipe.h"

namespace etrlrec {
namespace {

class Recipes : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(out_);
    fs::create_directories(out_ / "data");  // "prepare" is done; what follows finds nothing in it
  }
  void TearDown() override { fs::remove_all(out_); }
  std::string refusal(const Json& recorded, Arithmetic arithmetic) const {
    write_file_atomic(out_ / "recipe.json", recorded.dump());
    Recipe recipe;
    recipe.out = out_;
    recipe.options = {{"command", "demo"}};
    recipe.numerics.arithmetic = arithmetic;
    try {
      run_recipe(recipe);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  const fs::path out_ = fs::path(testing::TempDir()) / "recipe";
};

TEST_F(Recipes, continue_with_the_same_options_and_arithmetic_only) {
  const Json recorded = {{"command", "demo"}, {"arithmetic", "float32"}};
  EXPECT_NE(refusal(recorded, Arithmetic::kReference).find("arithmetic: expected \"reference\""),
            std::string::npos);
  EXPECT_EQ(refusal(recorded, Arithmetic::kFloat).find("other options"), std::string::npos);
  EXPECT_NE(refusal({{"command", "movielens"}}, Arithmetic::kFloat).find("command: expected"),
            std::string::npos);
}

TEST_F(Recipes, continue_runs_of_versions_that_did_not_record_the_arithmetic) {
  EXPECT_NE(refusal({{"command", "demo"}}, Arithmetic::kReference).find("split.json"),
            std::string::npos);
}

}  // namespace
}  // namespace etrlrec
