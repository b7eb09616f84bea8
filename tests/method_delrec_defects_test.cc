// Defects of DELRec's released program (method.md B.8) that no other test excludes; docs/method.md
// has the table of all.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <numeric>
#include <set>

#include "eval/metrics.h"
#include "eval/predictions.h"
#include "method/fit.h"
#include "method/soft_prompt.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"
#include "title_model.h"
#include "train/trainer.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

// L = mean over rows of g_row * w: its gradient is the mean of g over the rows.
class Slope : public Objective {
 public:
  Slope() { parameters_["weight"] = at::zeros({1, 1}).requires_grad_(); }
  int64_t num_rows() const override { return 8; }
  ParameterMap& parameters() override { return parameters_; }
  LossOutput loss(std::span<const int64_t> rows, int64_t, Rng&) override {
    double gradient = 0;
    for (const int64_t row : rows) gradient += slope(row) / static_cast<double>(rows.size());
    batches.push_back(gradient);
    return {gradient * parameters_["weight"].sum(), 1, {}};
  }
  static double slope(int64_t row) { return 1 + static_cast<double>(row); }
  double weight() { return parameters_["weight"].item<double>(); }

  std::vector<double> batches;  // the gradient of each micro-batch

 private:
  ParameterMap parameters_;
};

class DelrecTraining : public ::testing::Test {
 protected:
  DelrecTraining() {
    fs::remove_all(folder_);
    options_.optim = "sgd";
    options_.weight_decay = 0;
    options_.warmup_ratio = 0;
    options_.learning_rate = 0.5;
    options_.lr_scheduler_type = "constant";
    options_.max_grad_norm = 0;
    options_.train_batch_size = 1;
    options_.max_steps = 1;
  }
  ~DelrecTraining() override { fs::remove_all(folder_); }
  void run(Slope& slope) const { train(slope, options_, folder_, {}); }

  fs::path folder_ = fs::temp_directory_path() / fmt::format("etrlrec_slope_{}", ::getpid());
  TrainerOptions options_;
};

// B.8 #6: one optimiser step on the mean of all micro-batches, whose gradient is clipped before it.
TEST_F(DelrecTraining, accumulates_and_clips_before_a_step) {
  Slope slope;
  options_.gradient_accumulation_steps = 4;
  run(slope);
  ASSERT_EQ(slope.batches.size(), 4u);
  const double mean = std::accumulate(slope.batches.begin(), slope.batches.end(), 0.0) / 4;
  EXPECT_GT(mean, 2);
  EXPECT_NEAR(slope.weight(), -0.5 * mean, 1e-5);
  fs::remove_all(folder_);
  Slope clipped;
  options_.max_grad_norm = 0.25;
  run(clipped);
  EXPECT_EQ(clipped.batches, slope.batches);
  EXPECT_NEAR(clipped.weight(), -0.5 * 0.25, 1e-4);
}

// B.8 #7: the schedule falls until the last step, whatever their number, and not before.
TEST_F(DelrecTraining, schedule_ends_with_the_steps) {
  for (const int64_t steps : {10, 80}) {
    for (const int64_t step : {steps / 2, steps - 1})
      EXPECT_GT(schedule_factor("linear", step, steps / 2, steps), 0) << step;
    EXPECT_EQ(schedule_factor("linear", steps, steps / 2, steps), 0);
    EXPECT_EQ(schedule_factor("linear", steps / 2, steps / 2, steps), 1);
  }
  // Every step after the first moves the weight, the last one, too.
  options_.lr_scheduler_type = "linear";
  options_.warmup_ratio = 0.5;
  for (const int64_t steps : {4, 14}) {
    options_.max_steps = steps;
    fs::remove_all(folder_);
    Slope slope;
    run(slope);
    ASSERT_EQ(std::ssize(slope.batches), steps);
    double expected = 0, momentum = 0;
    for (int64_t step = 0; step < steps; ++step) {
      momentum = 0.9 * momentum + slope.batches[static_cast<size_t>(step)];
      expected -= 0.5 * schedule_factor("linear", step, steps / 2, steps) * momentum;
    }
    EXPECT_NEAR(slope.weight(), expected, 1e-3);
  }
}

// B.8 #9: metrics are means over rows; the same rows twice are the same metrics.
TEST(DelrecMetrics, are_means) {
  Predictions once;
  once.candidates_hash = "x";
  once.num_candidates = 4;
  for (const double rank : {1.0, 2.0, 4.0}) {
    Prediction& row = once.rows.emplace_back();
    row.row = std::ssize(once.rows);
    row.user = static_cast<int32_t>(row.row);
    row.rank = rank;
    row.target_slot = 0;
  }
  Predictions twice = once;
  for (Prediction row : once.rows) {
    row.row += 3;
    twice.rows.push_back(row);
  }
  const MetricRow first = summarize(once, 1), second = summarize(twice, 1);
  EXPECT_NEAR(first.hit1.mean, 1.0 / 3, 1e-9);
  EXPECT_NEAR(first.hit5, 1, 1e-9);
  EXPECT_NEAR(first.ndcg10, (1 + 1 / std::log2(3) + 1 / std::log2(5)) / 3, 1e-9);
  EXPECT_NEAR(second.hit1.mean, first.hit1.mean, 1e-9);
  EXPECT_NEAR(second.ndcg10, first.ndcg10, 1e-9);
  EXPECT_NEAR(second.mrr, first.mrr, 1e-9);
}

// Both stages on a split by users.
class DelrecSplit : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    make_new_lm(title_model_options(root_ / "data", root_ / "titles"));
    const Dataset dataset = load_dataset(root_ / "data");
    SplitOptions options;
    options.kind = SplitKind::kUserRatio;
    const Split split = split_dataset(dataset, options);
    write(dataset, split, "users");
    write(without_test_events(dataset, split), split, "blind");
  }
  static void write(const Dataset& dataset, const Split& split, const std::string& name) {
    fs::create_directories(root_ / name);
    save_dataset(dataset, split, root_ / name);
    for (const auto& [part, rows] : {std::pair{"train", &split.train}, {"valid", &split.valid}})
      save_candidates(draw_candidates(dataset, split, *rows, {.count = 6}), dataset,
                      root_ / name / fmt::format("candidates-{}.jsonl", part));
  }
  // Users of test rows have chosen one item all the time.
  static Dataset without_test_events(Dataset dataset, const Split& split) {
    std::set<int32_t> users;
    for (const Row& row : split.test) users.insert(row.user);
    EXPECT_GT(users.size(), 5u);
    for (const int32_t user : users)
      for (int64_t i = dataset.user_offsets[static_cast<size_t>(user)];
           i < dataset.user_offsets[static_cast<size_t>(user) + 1]; ++i)
        dataset.items[static_cast<size_t>(i)] = 0;
    return dataset;
  }
  static SoftPromptSetup stage_one(const std::string& data) {
    FitOptions fitted;
    fitted.data = root_ / data;
    fitted.models = {"markov"};
    SoftPromptOptions options;
    options.data = root_ / data;
    for (const int32_t fold : {0, 1}) {
      fitted.out = root_ / fmt::format("{}-fold{}", data, fold);
      fitted.left_out = {2, fold, 42};
      fit(fitted);
      options.recommenders.push_back(fs::path(fitted.out) / "markov");
    }
    options.model = root_ / "titles";
    options.list_items = 3;
    options.num_candidates = 6;
    options.prompt.num_virtual_tokens = 2;
    options.eval_rows = 10;
    return setup(options);
  }
  static DistillSetup stage_two(const std::string& data) {
    DistillOptions options = distill_into("never");
    options.data = root_ / data;
    options.reasoning.clear();
    options.model = root_ / "titles";
    options.label_only = true;
    options.answer_loss = "candidates";
    options.sft_share = 1;
    return setup(options);
  }
  static void expect_equal(const std::vector<CandidateRow>& first,
                           const std::vector<CandidateRow>& second) {
    ASSERT_EQ(first.size(), second.size());
    ASSERT_FALSE(first.empty());
    for (size_t r = 0; r < first.size(); ++r) {
      EXPECT_EQ(first[r].prompt, second[r].prompt);
      EXPECT_EQ(first[r].answers, second[r].answers);
      EXPECT_EQ(first[r].target, second[r].target);
    }
  }
};

// B.8 #1, #8 and #11: what users of the test part have chosen changes no row that either stage
// learns from or chooses its step on; and neither needs a candidate file of the test part.
TEST_F(DelrecSplit, no_stage_sees_a_test_user) {
  ASSERT_FALSE(fs::exists(root_ / "users/candidates-test.jsonl"));
  const SoftPromptSetup first = stage_one("users"), blind = stage_one("blind");
  ASSERT_EQ(first.tasks.size(), 2u);
  for (size_t task = 0; task < 2; ++task) {
    expect_equal(first.tasks[task].rows, blind.tasks[task].rows);
    expect_equal(first.valid_tasks[task].rows, blind.valid_tasks[task].rows);
  }
  expect_equal(stage_two("users").candidate_rows, stage_two("blind").candidate_rows);
}

// B.8 #11: users of training rows are in no other part.
TEST_F(DelrecSplit, users_do_not_cross) {
  const Split split = load_split(root_ / "users");
  std::set<int32_t> trained;
  for (const Row& row : split.train) trained.insert(row.user);
  for (const auto* rows : {&split.valid, &split.test})
    for (const Row& row : *rows) EXPECT_FALSE(trained.contains(row.user));
  // Their events are no part of the training, so that no recommender counts them.
  const Dataset dataset = load_dataset(root_ / "users");
  const InteractionLog log = training_log(dataset, split);
  for (const Row& row : split.test)
    EXPECT_EQ(log.user_offsets[static_cast<size_t>(row.user)],
              log.user_offsets[static_cast<size_t>(row.user) + 1]);
}

// B.8 #13: titles that several items have are told apart in answers, and short histories are read.
TEST(DelrecTexts, equal_titles_have_different_answers) {
  Catalogue catalogue;
  catalogue.item_ids = {"a", "b", "c"};
  catalogue.titles = {"Heat", "Heat", "Alien"};
  catalogue.attribute_offsets = {0, 0, 0, 0};
  Request request;
  request.candidates = {0, 1, 2};
  const auto answers =
      answer_texts(catalogue, request, {.reasoning = false, .answer = AnswerKind::kTitle});
  EXPECT_EQ(std::set<std::string>(answers.begin(), answers.end()).size(), 3u);
}

}  // namespace
}  // namespace etrlrec
