#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "models/recommender_loss.h"
#include "models_recommender_fixture.h"

namespace etrlrec {
namespace {

TEST(Recommenders, every_row_says_how_its_models_are_made) {
  std::set<std::string> names;
  for (const RecommenderType* type : recommender_types()) {
    EXPECT_TRUE(names.insert(type->name).second) << type->name;
    EXPECT_EQ(&recommender_type(type->name), type);
    EXPECT_NE(type->load, nullptr) << type->name;
    EXPECT_NE(type->count == nullptr, type->create == nullptr) << type->name;
    EXPECT_EQ(*type->loss == 0, type->create == nullptr) << type->name;
  }
}

TEST(Recommenders, the_list_has_a_line_for_every_type) {
  const std::string list = format_recommenders();
  EXPECT_EQ(static_cast<size_t>(std::count(list.begin(), list.end(), '\n')),
            recommender_types().size() + 2 + loss_types().size());
  for (const RecommenderType* type : recommender_types()) {
    const std::string line = fmt::format("{:<12}{}", type->name, type->summary);
    EXPECT_NE(list.find(line), std::string::npos) << line;
    EXPECT_NE(list.find(type->paper), std::string::npos) << type->paper;
  }
}

// What `fit` declares once for all types must mean the same to all of them.
TEST(Recommenders, types_that_share_an_option_share_key_default_and_search) {
  std::map<std::string, RecommenderOption> options;
  for (const RecommenderType* type : recommender_types()) {
    for (const RecommenderOption& option : type->options) {
      const auto [known, is_new] = options.try_emplace(option.flag, option);
      EXPECT_EQ(std::string(known->second.key), option.key) << option.flag;
      EXPECT_EQ(known->second.default_value, option.default_value) << option.flag;
      EXPECT_EQ(std::string(known->second.search), option.search) << option.flag;
    }
  }
}

TEST(Recommenders, the_defaults_of_options_are_those_of_the_configuration) {
  for (const RecommenderType* type : recommender_types()) {
    const OrderedJson config = type->configure({});
    for (const RecommenderOption& option : type->options) {
      ASSERT_TRUE(config.contains(option.key)) << type->name << " " << option.key;
      std::visit([&](auto value) { EXPECT_EQ(config[option.key], OrderedJson(value)); },
                 option.default_value);
    }
  }
}

TEST(Recommenders, every_type_scores_the_same_after_its_folder) {
  for (const RecommenderType* type : recommender_types()) {
    const ScopedFolder folder(type->name);
    std::unique_ptr<Recommender> model;
    if (type->count != nullptr) {
      InteractionLog log = two_user_log();
      log.item_embeddings = at::eye(log.num_items);
      model = type->count(log, {});
    } else {
      model = type->create(two_user_log(), {}, 3);
    }
    EXPECT_EQ(model->name(), type->name);
    EXPECT_EQ(model->num_items(), 4);
    model->save(folder.path());
    const auto loaded = load_recommender(folder.path());
    EXPECT_EQ(loaded->name(), type->name);
    for (const std::vector<int32_t>& history : {std::vector<int32_t>{}, {1}, {0, 1, 2}})
      EXPECT_EQ(scores_of(*model, history, 25 * kDay), scores_of(*loaded, history, 25 * kDay));
  }
}

TEST(Recommenders, refuses_unknown_names_and_folders_without_a_recommender) {
  EXPECT_THROW(recommender_type("oracle"), Error);
  const ScopedFolder folder("nothing");
  EXPECT_THROW(load_recommender(folder.path()), Error);
  write_file_atomic(folder.path() / "config.json", R"({"model_type": "oracle"})");
  EXPECT_THROW(load_recommender(folder.path()), Error);
  write_file_atomic(folder.path() / "config.json", R"({"model_type": "markov", "num_items": 0})");
  EXPECT_THROW(load_recommender(folder.path()), Error);
}

}  // namespace
}  // namespace etrlrec
