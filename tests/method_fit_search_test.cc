// Settings that a search of recommenders draws.
#include <gtest/gtest.h>

#include <set>

#include "method/fit_search.h"
#include "models/recommenders.h"
#include "train/next_item_objective.h"

namespace etrlrec {
namespace {

std::vector<std::string> settings_of(const std::string& name, const OptionValues& given,
                                     const FitSearch& search) {
  std::vector<std::string> texts;
  const RecommenderType& type = recommender_type(name);
  for (const FitSetting& setting : draw_settings(type, given, next_item_trainer_options(), search))
    texts.push_back(format_setting(type, setting));
  return texts;
}

TEST(FitSearch, begins_with_what_the_options_say_and_repeats_nothing) {
  for (const RecommenderType* type : recommender_types()) {
    const auto settings = draw_settings(*type, {}, next_item_trainer_options(), {.trials = 12});
    ASSERT_FALSE(settings.empty()) << type->name;
    for (const RecommenderOption& option : type->options) {
      if (*option.search == 0) continue;
      EXPECT_EQ(settings[0].recommender.at(option.key), option.default_value) << option.key;
    }
    std::set<std::string> different;
    for (const FitSetting& setting : settings) {
      EXPECT_TRUE(different.insert(format_setting(*type, setting)).second) << type->name;
      EXPECT_NO_THROW(type->configure(setting.recommender)) << format_setting(*type, setting);
    }
  }
}

TEST(FitSearch, more_trials_continue_fewer) {
  const auto few = settings_of("sasrec", {}, {.trials = 5});
  const auto many = settings_of("sasrec", {}, {.trials = 9});
  ASSERT_EQ(few.size(), 5U);
  ASSERT_EQ(many.size(), 9U);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(FitSearch, a_small_space_is_tried_whole_and_no_more) {
  EXPECT_EQ(settings_of("popularity", {}, {.trials = 9}).size(), 1U);
  EXPECT_EQ(settings_of("markov", {}, {.trials = 50}).size(), 5U);
  EXPECT_EQ(settings_of("item-knn", {}, {.trials = 50}).size(), 18U);
  // Three widths remain when rate and batch are given.
  const FitSearch fixed{.trials = 50, .learning_rate = false, .train_batch_size = false};
  EXPECT_EQ(settings_of("fpmc", {}, fixed).size(), 3U);
}

TEST(FitSearch, what_is_given_stays) {
  const OptionValues given{{"hidden_size", int64_t{48}}, {"dropout", 0.05}};
  const auto settings =
      draw_settings(recommender_type("sasrec"), given, next_item_trainer_options(),
                    {.trials = 20, .learning_rate = false});
  ASSERT_EQ(settings.size(), 20U);
  std::set<int64_t> layers;
  for (const FitSetting& setting : settings) {
    EXPECT_EQ(setting.recommender.at("hidden_size"), OptionValue(int64_t{48}));
    EXPECT_EQ(setting.recommender.at("dropout"), OptionValue(0.05));
    EXPECT_EQ(setting.learning_rate, next_item_trainer_options().learning_rate);
    layers.insert(std::get<int64_t>(setting.recommender.at("num_hidden_layers")));
  }
  EXPECT_GT(layers.size(), 1U);
}

TEST(FitSearch, the_space_names_every_value) {
  const std::string space = format_search_space();
  EXPECT_NE(space.find("item-knn    neighbours 50, 200, 1000; decay_half_life_days 1, 3, 10"),
            std::string::npos)
      << space;
  EXPECT_NE(space.find("learning_rate 3e-4, 1e-3, 3e-3"), std::string::npos);
}

}  // namespace
}  // namespace etrlrec
