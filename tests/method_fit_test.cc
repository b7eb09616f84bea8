// Conventional recommenders from a data set folder: every trained model with every loss, what the
// folder says, and whose users a model knows.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/split.h"
#include "data/synthetic.h"
#include "method/fit.h"
#include "models_recommender_fixture.h"
#include "refusals.h"

namespace etrlrec {
namespace {

class Fit : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    WorldOptions world;
    world.users = 40, world.items = 60, world.mean_events = 12;
    dataset_ = make_world(world).dataset;
    save_dataset(dataset_, split_dataset(dataset_, {}), folder_.path());
  }

  FitOptions options_of(const std::string& model, const std::string& loss) const {
    FitOptions options;
    options.data = folder_.path();
    options.out = folder_.path() / ("fit-" + loss);
    options.models = {model};
    options.recommender = {{"hidden_size", int64_t{8}}, {"max_length", int64_t{10}}};
    options.loss.name = loss;
    options.trainer.num_train_epochs = 1;
    return options;
  }

  ScopedFolder folder_{"fit"};
  Dataset dataset_;
};

TEST_F(Fit, every_trained_model_takes_every_loss_and_its_folder_says_which) {
  for (const RecommenderType* type : recommender_types()) {
    if (type->create == nullptr) continue;
    for (const LossType& loss : loss_types()) {
      const FitOptions options = options_of(type->name, loss.name);
      const auto summaries = fit(options);
      ASSERT_EQ(summaries.size(), 1U);
      EXPECT_GT(summaries[0].metrics.at("valid/all/mrr"), 0) << type->name << " " << loss.name;
      const Json inputs = read_json(summaries[0].folder / "inputs.json");
      EXPECT_EQ(inputs.contains("users_hash"), type->knows_users);
      if (std::string(loss.name) == "ce") {
        EXPECT_FALSE(inputs.contains("loss"));
      } else {
        EXPECT_EQ(inputs["loss"]["name"], loss.name);
        EXPECT_GT(inputs["loss"]["num_negatives"], 0);
      }
    }
  }
}

TEST_F(Fit, trains_the_same_weights_again) {
  FitOptions options = options_of("caser", "gbce");
  const auto scores = [&] {
    const auto model = load_recommender_of(fit(options)[0].folder, dataset_);
    std::vector<HistoryView> views;
    for (const RankingTask& task : ranking_tasks(dataset_, load_split(folder_.path()).valid))
      views.push_back(task.history);
    return model->score(views);
  };
  const at::Tensor first = scores();
  options.out = folder_.path() / "again";
  EXPECT_TRUE(at::equal(first, scores()));
  options.trainer.seed = 7;
  options.out = folder_.path() / "other-seed";
  EXPECT_FALSE(at::equal(first, scores()));
}

TEST_F(Fit, a_model_that_knows_users_is_refused_for_others) {
  const fs::path knows = fit(options_of("fpmc", "bpr"))[0].folder,
                 does_not = fit(options_of("gru4rec", "ce"))[0].folder;
  Dataset others = dataset_;
  others.user_ids[3] = "somebody else";
  EXPECT_NO_THROW(load_recommender_of(knows, dataset_));
  EXPECT_NO_THROW(load_recommender_of(does_not, others));
  refuses([&] { load_recommender_of(knows, others); }, ExitCode::kModel, "knows users");
}

TEST_F(Fit, options_of_another_loss_are_refused) {
  FitOptions options = options_of("sasrec", "ce");
  options.loss.num_negatives = 5;
  refuses([&] { fit(options); }, ExitCode::kUsage, "no negatives");
}

}  // namespace
}  // namespace etrlrec
