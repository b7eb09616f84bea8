// The recipe for somebody's own log: what decides sizes, split and budgets, and that it is said.
#include <gtest/gtest.h>

#include "base/check.h"
#include "method/own_plan.h"
#include "method/recipe_texts.h"

namespace etrlrec {
namespace {

LogFacts usual_log() {
  return {.users = 900,
          .items = 1700,
          .interactions = 100000,
          .median_history = 60,
          .longest_history = 700,
          .attributes = 19,
          .valid_rows = 9000,
          .test_rows = 9000,
          .user = "42"};
}

std::string said(const std::vector<std::string>& reasons) {
  std::string all;
  for (const std::string& reason : reasons) all += reason + "\n";
  return all;
}

TEST(OwnPlan, sizes_follow_the_time) {
  const auto epochs = [](double hours) {
    Recipe recipe = read_recipe(find_recipe("own").text, "own.toml");
    plan_for_log(recipe, usual_log(), {hours, 2});
    for (const RecipeStep& stage : recipe.stages)
      if (stage.id == "timeline") return std::stoi(stage.word("num-train-epochs"));
    return 0;
  };
  EXPECT_EQ(epochs(10), 12);
  EXPECT_LT(epochs(0.1), 12);
  EXPECT_GE(epochs(0.1), 1);
}

TEST(OwnPlan, says_what_the_log_lacks) {
  const auto plan = [](const LogFacts& facts) {
    Recipe recipe = read_recipe(find_recipe("own").text, "own.toml");
    const std::string text = said(plan_for_log(recipe, facts, {1, 2}));
    return std::pair(text, recipe.stages[0].word("split"));
  };
  EXPECT_EQ(plan(usual_log()).second, "global-time");
  EXPECT_EQ(plan(usual_log()).first.find("Warning"), std::string::npos);
  LogFacts facts = usual_log();
  facts.one_time = true;
  EXPECT_EQ(plan(facts).second, "leave-one-out");
  facts = usual_log();
  facts.test_rows = 10;
  EXPECT_EQ(plan(facts).second, "leave-one-out");
  facts.interactions = 3000;
  facts.untitled = facts.items;
  facts.attributes = 0;
  facts.tie_share = 0.4;
  facts.whole_days = true;
  for (const char* part : {"fewer than 5000 interactions", "no title but their id", "no attributes",
                           "40 % of neighbouring", "whole days"})
    EXPECT_NE(plan(facts).first.find(part), std::string::npos) << part;
  facts.items = 3;
  EXPECT_THROW(plan(facts), Error);
}

TEST(OwnPlan, reads_short_histories_and_long_logs_in_another_way) {
  const auto word = [](const LogFacts& facts, const char* id, const char* option) {
    Recipe recipe = read_recipe(find_recipe("own").text, "own.toml");
    plan_for_log(recipe, facts, {1, 2});
    for (const RecipeStep& stage : recipe.stages)
      if (stage.id == id) return stage.word(option);
    return std::string("no such stage");
  };
  const auto timeline = [&](const LogFacts& facts, const char* option) {
    return word(facts, "timeline", option);
  };
  LogFacts facts = usual_log();
  EXPECT_EQ(timeline(facts, "batch-size"), "");
  EXPECT_EQ(timeline(facts, "half-life-days"), "");
  facts.median_history = 8;
  facts.items = 12000;
  EXPECT_EQ(timeline(facts, "batch-size"), "16");
  EXPECT_EQ(word(facts, "base", "whole-titles"), "12000");
  EXPECT_EQ(timeline(facts, "half-life-days"), "");
  facts.span_days = 2600;
  for (const char* id : {"timeline", "label-only", "student"})
    EXPECT_EQ(word(facts, id, "half-life-days"), "120") << id;
  EXPECT_EQ(word(facts, "data", "train-negatives"), "alive");
  const std::string usual = word(facts, "student", "learning-rate");
  facts.attributes = 0;  // and reasonings are short
  EXPECT_EQ(word(facts, "student", "learning-rate"), "0.003");
  EXPECT_EQ(usual, "0.0005");
}

// The larger the model, the less of it: the time goes to the given one, a small one stands beside
// it.
TEST(OwnPlan, a_given_model_gets_the_time_it_needs) {
  const auto planned = [](int64_t parameters, double hours) {
    Recipe recipe = read_recipe(find_recipe("own-student").text, "own-student.toml");
    LogFacts facts = usual_log();
    facts.median_history = 8;
    const std::string text = said(plan_for_log(recipe, facts, {hours, 2, parameters}));
    const auto word = [&](const char* id, const char* option) {
      for (const RecipeStep& stage : recipe.stages)
        if (stage.id == id) return stage.word(option);
      return std::string("no such stage");
    };
    EXPECT_EQ(word("scratch", "batch-size"), "16");  // what short histories ask of the small model
    EXPECT_EQ(word("timeline", "batch-size"), "8");
    EXPECT_EQ(word("timeline", "model"), "{student}");  // until it is given
    EXPECT_NE(text.find("The language model you gave has"), std::string::npos) << text;
    return std::vector{
        std::stoi(word("timeline", "max-steps")), std::stoi(word("student", "max-steps")),
        std::stoi(word("policy", "max-steps")), std::stoi(word("data", "test-candidates"))};
  };
  const auto usual = planned(135'000'000, 1.5), longer = planned(135'000'000, 3),
             larger = planned(500'000'000, 1.5);
  for (size_t i = 0; i < usual.size(); ++i) {
    EXPECT_GE(usual[i], 10) << i;
    EXPECT_NEAR(longer[i], 2 * usual[i], 2) << i;
    EXPECT_LT(larger[i], usual[i]) << i;
  }
  EXPECT_THROW(planned(8'000'000'000, 0.5), Error);
}

TEST(OwnPlan, keeps_what_the_user_said) {
  Recipe recipe = read_recipe(find_recipe("own").text, "own.toml");
  recipe.stages[0].options.push_back({"split", {{"user-ratio"}, false, true}, {}});
  recipe.stages[0].options.push_back({"num-candidates", {{"50"}, false, false}, {}});
  plan_for_log(recipe, usual_log(), {1, 2});
  EXPECT_EQ(recipe.stages[0].word("split"), "user-ratio");
  EXPECT_EQ(recipe.stages[0].word("num-candidates"), "50");
}

}  // namespace
}  // namespace etrlrec
