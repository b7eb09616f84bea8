#include <gtest/gtest.h>

#include <set>

#include "base/check.h"
#include "method/fit_presets.h"
#include "models/recommenders.h"
#include "refusals.h"

namespace etrlrec {
namespace {

TEST(FitPresets, every_preset_names_a_trained_model_its_options_and_a_whole_loss) {
  std::set<std::string> names;
  for (const FitPreset& preset : fit_presets()) {
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
    const RecommenderType& type = recommender_type(preset.model);
    EXPECT_NE(type.create, nullptr) << preset.name;
    std::set<std::string> keys;
    for (const RecommenderOption& option : type.options) keys.insert(option.key);
    for (const auto& [key, value] : preset.recommender)
      EXPECT_TRUE(keys.contains(key)) << preset.name << " " << key;
    EXPECT_NO_THROW(type.configure(preset.recommender)) << preset.name;
    for (const int64_t num_items : {20, 100'000})
      EXPECT_NO_THROW(complete_loss(preset.loss, type.loss, num_items)) << preset.name;
    EXPECT_NE(format_presets().find(preset.source), std::string::npos);
  }
}

// That the configurations above are checked at all.
TEST(FitPresets, values_out_of_range_would_be_seen) {
  for (const FitPreset& preset : fit_presets()) {
    for (const auto& [key, value] : preset.recommender) {
      OptionValues values = preset.recommender;
      values[key] =
          std::holds_alternative<double>(value) ? OptionValue(-1.0) : OptionValue(int64_t{-1});
      refuses([&] { recommender_type(preset.model).configure(values); }, ExitCode::kUsage, key);
    }
  }
}

TEST(FitPresets, an_option_given_beside_a_preset_overrides_it) {
  FitOptions options;
  options.recommender = {{"hidden_size", int64_t{32}}};
  options.loss.gbce_t = 0.5;
  options.trainer.learning_rate = 0.5;
  const std::set<std::string> given{"--hidden-size", "--gbce-t", "--learning-rate"};
  apply_preset(
      fit_preset("gsasrec"), [&](const std::string& flag) { return given.contains(flag); },
      options);
  EXPECT_EQ(options.models, std::vector<std::string>{"sasrec"});
  EXPECT_EQ(options.preset, "gsasrec");
  EXPECT_EQ(option_or(options.recommender, "hidden_size", int64_t{0}), 32);
  EXPECT_EQ(option_or(options.recommender, "num_hidden_layers", int64_t{0}), 3);
  EXPECT_EQ(options.loss.name, "gbce");
  EXPECT_EQ(complete_loss(options.loss, "ce", 1000).num_negatives, 256);
  EXPECT_EQ(complete_loss(options.loss, "ce", 100).num_negatives, 99);
  EXPECT_EQ(options.loss.gbce_t, 0.5);
  EXPECT_EQ(options.trainer.learning_rate, 0.5);
  EXPECT_EQ(options.trainer.train_batch_size, 128);
}

TEST(FitPresets, another_loss_takes_nothing_of_the_preset_s_own) {
  FitOptions options;
  options.loss.name = "ce";
  apply_preset(
      fit_preset("gru4rec/official"), [](const std::string& flag) { return flag == "--loss"; },
      options);
  EXPECT_EQ(options.loss.name, "ce");
  EXPECT_NO_THROW(complete_loss(options.loss, "ce", 100));
}

TEST(FitPresets, another_optimiser_does_not_take_the_preset_s_rate) {
  FitOptions options;
  options.trainer.optim = "adam";
  const double own = options.trainer.learning_rate;
  const auto with = [&](const std::set<std::string>& given) {
    FitOptions changed = options;
    apply_preset(
        fit_preset("gru4rec/delrec"), [&](const std::string& flag) { return given.contains(flag); },
        changed);
    return std::pair(changed.trainer.optim, changed.trainer.learning_rate);
  };
  EXPECT_EQ(with({}), std::pair(std::string("adagrad"), 0.01));
  EXPECT_EQ(with({"--optim"}), std::pair(std::string("adam"), own));
}

TEST(FitPresets, refuses_another_model_and_unknown_names) {
  FitOptions options;
  options.models = {"gru4rec"};
  refuses(
      [&] {
        apply_preset(
            fit_preset("sasrec/ce"), [](const std::string& flag) { return flag == "--model"; },
            options);
      },
      ExitCode::kUsage, "fits sasrec alone");
  refuses([] { fit_preset("sasrec/oracle"); }, ExitCode::kUsage, "known: sasrec/paper");
}

}  // namespace
}  // namespace etrlrec
