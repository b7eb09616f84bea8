// Conventional recommenders from a data set folder: every trained model with every loss, what the
// folder says, and whose users a model knows.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

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

  at::Tensor scores_of_folder(const fs::path& folder) const {
    const auto model = load_recommender_of(folder, dataset_);
    std::vector<HistoryView> views;
    const Split split = load_split(folder_.path());
    for (const RankingTask& task : ranking_tasks(dataset_, split.valid))
      views.push_back(task.history);
    return model->score(views);
  }

  // Finite scores, and a loss that falls or an order that is better than a random one.
  void expect_learned(const FitSummary& summary, const std::string& what) const {
    EXPECT_TRUE(at::isfinite(scores_of_folder(summary.folder)).all().item<bool>()) << what;
    std::vector<double> losses;
    for_each_line(summary.folder / "training" / "metrics.jsonl",
                  [&](std::string_view line, int64_t) {
                    const Json values = parse_json(line, "metrics.jsonl");
                    if (values.contains("train/loss"))
                      losses.push_back(values["train/loss"].get<double>());
                  });
    ASSERT_GT(losses.size(), 1U) << what;
    double chance = 0;
    for (int64_t rank = 1; rank <= 10; ++rank)
      chance += 1 / std::log2(1 + static_cast<double>(rank)) /
                static_cast<double>(dataset_.catalogue.num_items());
    EXPECT_TRUE(losses.back() < losses.front() || summary.metrics.at("valid/all/ndcg@10") > chance)
        << what << ": loss " << losses.front() << " to " << losses.back();
  }

  ScopedFolder folder_{"fit"};
  Dataset dataset_;
};

TEST_F(Fit, every_trained_model_takes_every_loss_and_its_folder_says_which) {
  for (const RecommenderType* type : recommender_types()) {
    if (type->create == nullptr) continue;
    for (const LossType& loss : loss_types()) {
      FitOptions options = options_of(type->name, loss.name);
      options.trainer.num_train_epochs = 10;
      options.trainer.learning_rate = 1e-2;
      options.trainer.logging_steps = 1;
      const auto summaries = fit(options);
      ASSERT_EQ(summaries.size(), 1U);
      expect_learned(summaries[0], std::string(type->name) + " " + loss.name);
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
  const auto scores = [&] { return scores_of_folder(fit(options)[0].folder); };
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

TEST_F(Fit, options_that_make_no_model_leave_the_old_one) {
  for (const RecommenderType* type : recommender_types()) {
    if (type->create == nullptr) continue;
    FitOptions options = options_of(type->name, "ce");
    const fs::path folder = fit(options)[0].folder;
    const auto files = [&] {
      return std::pair(read_file(folder / "inputs.json"), read_file(folder / "model.safetensors"));
    };
    const auto before = files();
    options.replace = true;
    options.recommender["hidden_size"] = int64_t{-1};
    refuses([&] { fit(options); }, ExitCode::kUsage, "hidden_size");
    EXPECT_EQ(files(), before) << type->name;
  }
}

TEST_F(Fit, options_of_all_models_are_checked_before_the_first_is_trained) {
  FitOptions options = options_of("gru4rec", "ce");
  options.models = {"gru4rec", "caser"};
  options.recommender["max_length"] = int64_t{3};
  refuses([&] { fit(options); }, ExitCode::kUsage, "markov_order");
  options = options_of("fpmc", "");
  options.models = {"fpmc", "sasrec"};
  options.loss.num_negatives = 5;
  refuses([&] { fit(options); }, ExitCode::kUsage, "no negatives");
  for (const char* folder : {"fit-ce/gru4rec", "fit-/fpmc"})
    EXPECT_FALSE(fs::exists(folder_.path() / folder)) << folder;
}

// Best by validation, numbers of all, weights of the best alone.
TEST_F(Fit, a_search_keeps_the_best_setting_and_goes_on_where_it_was_stopped) {
  FitOptions options = options_of("item-knn", "");
  options.models = {"item-knn", "fpmc"};
  options.search.trials = 3;
  options.evaluate = "full";
  const auto summaries = fit(options);
  for (const FitSummary& summary : summaries) {
    const Json record = read_json(summary.folder / "search.json");
    ASSERT_EQ(record["trials"].size(), 3U) << summary.model;
    const auto best = record["best"].get<size_t>();
    for (size_t i = 0; i < 3; ++i) {
      const fs::path trial = summary.folder / "search" / std::to_string(i);
      EXPECT_LE(record["trials"][i]["valid_ndcg@10"].get<double>(),
                record["trials"][best]["valid_ndcg@10"].get<double>());
      EXPECT_EQ(fs::exists(trial / "model.safetensors"), i == best) << trial;
    }
    EXPECT_EQ(summary.metrics.at("valid/all/ndcg@10"),
              record["trials"][best]["valid_ndcg@10"].get<double>());
    EXPECT_TRUE(summary.metrics.contains("test/all/ndcg@10"));
    EXPECT_EQ(record["trials"][best]["setting"], summary.setting);
    EXPECT_TRUE(at::isfinite(scores_of_folder(summary.folder)).all().item<bool>());
  }
  // What is finished is not fitted again: its time stays.
  const fs::path knn = summaries[0].folder;
  const auto seconds = [&](size_t i) {
    return read_json(knn / "search.json")["trials"][i]["seconds"].get<double>();
  };
  const double first = seconds(0);
  options.search.trials = 5;
  EXPECT_EQ(fit(options)[0].trials, 5);
  EXPECT_EQ(seconds(0), first);
  // Fewer trials than there are: the best of them, though its weights may have gone.
  options.search.trials = 1;
  EXPECT_EQ(fit(options)[0].trials, 1);
  EXPECT_TRUE(at::isfinite(scores_of_folder(knn)).all().item<bool>());
  options.recommender["neighbours"] = int64_t{7};
  refuses([&] { fit(options); }, ExitCode::kUsage, "--replace");
}

// Part way through the second trial, and a whole run for comparison.
TEST_F(Fit, a_search_that_was_cut_off_ends_like_one_that_was_not) {
  FitOptions options = options_of("fpmc", "");
  options.search.trials = 3;
  const fs::path whole = fit(options)[0].folder;
  options.out = folder_.path() / "cut";
  options.search.trials = 2;
  const fs::path cut = fit(options)[0].folder;
  fs::remove(cut / "search" / "1" / "trial.json");
  fs::remove(cut / "search.json");
  options.search.trials = 3;
  fit(options);
  EXPECT_EQ(read_json(cut / "search.json")["best"], read_json(whole / "search.json")["best"]);
  EXPECT_TRUE(at::equal(scores_of_folder(cut), scores_of_folder(whole)));
}

}  // namespace
}  // namespace etrlrec
