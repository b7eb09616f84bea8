// Findings of a reinforcement from tables of logs, and what the trainer does with a collapse.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "models/decoder.h"
#include "tiny_policy.h"
#include "train/diagnosis.h"
#include "train/grpo.h"

namespace etrlrec {
namespace {

using Logged = std::map<std::string, double>;

// A healthy log with some other values.
LogEntry log_of(int64_t step, const Logged& changes) {
  Logged values = {{"frac_reward_zero_std", 0.1},
                   {"unique_ratio", 0.9},
                   {"entropy", 0.5},
                   {"clip_ratio/region_mean", 0.02},
                   {"kl", 0.05},
                   {"completions/clipped_ratio", 0.05},
                   {"valid_ratio", 0.95},
                   {"completions/repeated_share", 0.05},
                   {"answer/hit_rate", 0.3},
                   {"logprob_gap", 1e-5},
                   {"reward", 0.4}};
  for (const auto& [name, value] : changes) values[name] = value;
  LogEntry log{step, {}};
  for (const auto& [name, value] : values) log.values["train/" + name] = value;
  return log;
}

std::vector<std::string> names_of(const std::vector<Finding>& findings) {
  std::vector<std::string> names;
  for (const Finding& finding : findings) names.push_back(finding.name);
  return names;
}

struct Diagnosed {
  const char* name;  // of the only finding; "": none
  Logged values;     // of the last three logs
  const char* words = "";
  DiagnosisContext context = {};
};

const Diagnosed kDiagnosed[] = {
    {"", {}},
    {"same_reward", {{"frac_reward_zero_std", 0.93}}, "the 8 samples of 93 % of the prompts"},
    {"", {{"frac_reward_zero_std", 0.7}}},
    {"", {{"frac_reward_zero_std", 1}}, "", {8, false, true}},
    {"same_reward", {{"frac_reward_zero_std", 1}}, "--rank-credit", {4, false, false}},
    {"same_completions", {{"unique_ratio", 0.15}}, "1.2 are different"},
    {"", {{"unique_ratio", 0.15}}, "", {8, false, true}},
    {"low_entropy", {{"entropy", 0.004}}, "0.004"},
    {"clipping", {{"clip_ratio/region_mean", 0.4}}, "40 %"},
    {"truncated", {{"completions/clipped_ratio", 0.66}, {"valid_ratio", 0.34}}, "66 %"},
    {"divergence", {{"kl", 0.7}}, "0.7"},
    {"repetition", {{"completions/repeated_share", 0.6}}, "60 %"},
    {"no_hits", {{"answer/hit_rate", 0}}, "no sample names the target"},
    {"engines_differ", {{"logprob_gap", 0.2}}, "0.2"},
    {"invalid", {{"valid_ratio", 0.3}}, "65 % of the completions break the contract"},
};

TEST(Diagnosis, names_one_symptom_of_three_logs_in_a_row) {
  for (const Diagnosed& row : kDiagnosed) {
    std::vector<LogEntry> logs{log_of(10, {})};
    for (const int64_t step : {20, 30, 40}) logs.push_back(log_of(step, row.values));
    const std::vector<Finding> findings = diagnose(logs, row.context);
    if (*row.name == '\0') {
      EXPECT_EQ(names_of(findings), std::vector<std::string>{});
      continue;
    }
    ASSERT_EQ(names_of(findings), std::vector<std::string>{row.name});
    EXPECT_NE(findings[0].text.find(row.words), std::string::npos) << findings[0].text;
    EXPECT_FALSE(findings[0].is_collapse);
    EXPECT_EQ(findings[0].step, 40);
    EXPECT_EQ(findings[0].good_until, 9);
    // Two logs are not enough, and one healthy one between them ends it.
    EXPECT_TRUE(diagnose(std::span(logs).last(2), row.context).empty());
    logs[2] = log_of(30, {});
    EXPECT_TRUE(diagnose(logs, row.context).empty()) << row.name;
  }
}

TEST(Diagnosis, a_collapse_is_what_the_first_log_was_not) {
  const std::pair<const char*, Logged> rows[] = {
      {"entropy_collapse", {{"entropy", 0.001}}},
      {"length_explosion", {{"completions/clipped_ratio", 0.99}, {"valid_ratio", 0.05}}},
      {"repetition_collapse", {{"completions/repeated_share", 0.9}}},
      {"divergence_collapse", {{"kl", 7}}},
      {"format_collapse", {{"valid_ratio", 0.01}}}};
  for (const auto& [name, values] : rows) {
    std::vector<LogEntry> logs{log_of(10, {})};
    for (const int64_t step : {20, 30, 40}) logs.push_back(log_of(step, values));
    const std::vector<Finding> findings = diagnose(logs, {});
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings.back().name, name);
    EXPECT_TRUE(findings.back().is_collapse);
    EXPECT_EQ(findings.back().good_until, 9);
    if (std::string(name) == "divergence_collapse") continue;
    logs[0] = log_of(10, values);  // it was so from the beginning
    for (const Finding& finding : diagnose(logs, {})) EXPECT_FALSE(finding.is_collapse) << name;
  }
}

TEST(Diagnosis, a_reward_that_rises_while_hits_fall_is_named) {
  std::vector<LogEntry> logs;
  for (int64_t i = 0; i < 9; ++i)
    logs.push_back(log_of(i, {{"reward", 0.3 + 0.03 * static_cast<double>(i)},
                              {"answer/hit_rate", 0.4 - 0.03 * static_cast<double>(i)}}));
  EXPECT_EQ(names_of(diagnose(logs, {})), std::vector<std::string>{"reward_without_hits"});
  EXPECT_TRUE(diagnose(std::span(logs).first(8), {}).empty());
}

TEST(Diagnosis, logs_without_values_show_nothing) {
  const std::vector<LogEntry> logs(5, LogEntry{1, {}});
  EXPECT_TRUE(diagnose(logs, {}).empty());
}

// A weight that grows with every step; from some step on its logs say that it has collapsed.
class Growing : public Objective {
 public:
  Growing() { parameters_["weight"] = at::zeros({1}).requires_grad_(); }
  int64_t num_rows() const override { return 4; }
  ParameterMap& parameters() override { return parameters_; }
  LossOutput loss(std::span<const int64_t>, int64_t, Rng&) override {
    return {-parameters_["weight"].sum(), 1, {}};
  }
  std::vector<Finding> review(std::span<const LogEntry> logs) const override {
    if (logs.back().step < collapse_at) return {};
    const auto before = std::max<int64_t>(std::ssize(logs) - 4, 0);
    return {{"gone", "it is gone", true, logs.back().step, logs[before].step}};
  }
  double weight() { return parameters_["weight"].item<double>(); }
  int64_t collapse_at = 20;

 private:
  ParameterMap parameters_;
};

class CollapseFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    path_ = fs::temp_directory_path() / fmt::format("etrlrec-collapse-{}", ::getpid());
    fs::remove_all(path_);
  }
  void TearDown() override { fs::remove_all(path_); }
  static TrainerOptions steps_of_one() {
    TrainerOptions options;
    options.learning_rate = 1;
    options.lr_scheduler_type = "constant";
    options.warmup_ratio = 0;
    options.optim = "sgd";
    options.max_grad_norm = 0;
    options.weight_decay = 0;
    options.train_batch_size = 4;
    options.max_steps = 40;
    options.logging_steps = 1;
    options.save_steps = 1;
    options.stop_on_collapse = true;
    return options;
  }
  // Every step has another one.
  double saved_weight(int64_t step) const {
    ParameterMap saved{{"weight", at::zeros({1})}};
    CheckpointFolder(path_).load_parameters(step, saved);
    return saved["weight"].item<double>();
  }
  fs::path path_;
};

TEST_F(CollapseFolder, training_goes_back_to_the_newest_checkpoint_from_before) {
  for (const int64_t save_steps : {1, 2, 7}) {
    fs::remove_all(path_);
    Growing objective;
    TrainerOptions options = steps_of_one();
    options.save_steps = save_steps;
    const TrainingResult result = train(objective, options, path_);
    EXPECT_EQ(result.steps, 20);
    EXPECT_LE(result.best_step, 17);  // the log before the three that show it
    EXPECT_GE(result.best_step, 7);
    EXPECT_EQ(result.best_step % save_steps, 0);
    EXPECT_EQ(objective.weight(), saved_weight(result.best_step));
    ASSERT_EQ(result.findings.size(), 2u);
    EXPECT_EQ(result.findings[0], "step 20: it is gone");
    EXPECT_EQ(result.findings[1], fmt::format("went back to step {}", result.best_step));
    EXPECT_LE(CheckpointFolder(path_).steps().size(), 5u);
    // The folder is finished, and says the same again.
    Growing again;
    const TrainingResult repeated = train(again, options, path_);
    EXPECT_EQ(again.weight(), objective.weight());
    EXPECT_EQ(repeated.findings, result.findings);
  }
}

TEST_F(CollapseFolder, a_best_step_inside_the_collapse_is_not_kept) {
  Growing objective;
  TrainerOptions options = steps_of_one();
  options.eval_steps = 10;
  options.metric_for_best_model = "score";
  const auto rising = [](int64_t step) {
    return std::map<std::string, double>{{"score", static_cast<double>(step)}};
  };
  const TrainingResult result = train(objective, options, path_, rising);
  EXPECT_LE(result.best_step, 17);
  EXPECT_EQ(objective.weight(), saved_weight(result.best_step));
  const auto falling = [](int64_t step) {
    return std::map<std::string, double>{{"score", -static_cast<double>(step)}};
  };
  fs::remove_all(path_);
  Growing other;
  EXPECT_EQ(train(other, options, path_, falling).best_step, 10);
  EXPECT_EQ(other.weight(), saved_weight(10));
}

TEST_F(CollapseFolder, without_a_checkpoint_from_before_it_is_an_error_and_off_it_goes_on) {
  Growing objective;
  TrainerOptions options = steps_of_one();
  options.save_steps = 0;
  EXPECT_THROW(train(objective, options, path_), Error);
  Growing other;
  options.stop_on_collapse = false;
  const TrainingResult result = train(other, options, path_);
  EXPECT_EQ(result.steps, 40);
  EXPECT_EQ(result.findings, std::vector<std::string>{"step 20: it is gone"});
}

// A tiny policy with a rate at which it cannot but leave its reference.
TEST_F(CollapseFolder, a_policy_with_an_absurd_rate_ends_as_it_was_before) {
  auto model = grpo_model(1, 0.3), reference = grpo_model(1, 0.3);
  GrpoOptions options;
  options.num_generations = 8;
  options.format.close = {1};
  options.format.finish = {2, 0};
  options.format.max_reasoning_tokens = 8;
  options.policy.beta = 1e-3;
  const auto reward = [](std::span<const Rollout> rollouts, int64_t) {
    std::vector<ScoredCompletion> scored(rollouts.size());
    for (size_t i = 0; i < rollouts.size(); ++i)  // rewards one token, over and over
      scored[i].reward_by_answer.assign(
          2, static_cast<double>(
                 std::count(rollouts[i].output->ids.begin(), rollouts[i].output->ids.end(), 9)));
    return scored;
  };
  const GrpoRow row{{3, 4, 5}, {{6}, {7}}, 1, 100};
  GrpoObjective objective(*model, reference.get(), {row, row}, options, reward);
  TrainerOptions trainer = steps_of_one();
  trainer.optim = "adamw";
  trainer.learning_rate = 0.3;
  trainer.max_steps = 60;
  trainer.train_batch_size = 2;
  const TrainingResult result = train(objective, trainer, path_);
  EXPECT_LT(result.steps, 60);
  EXPECT_LT(result.best_step, result.steps - 2);
  bool has_collapsed = false;
  for (const std::string& finding : result.findings)
    has_collapsed |= finding.find("the policy has collapsed") != std::string::npos;
  EXPECT_TRUE(has_collapsed);
  ParameterMap& now = model->parameters();
  ParameterMap kept;
  for (auto& [name, tensor] : now) kept[name] = at::empty_like(tensor);
  CheckpointFolder(path_).load_parameters(result.best_step, kept);
  for (auto& [name, tensor] : now) EXPECT_TRUE(at::equal(tensor, kept[name])) << name;
}

}  // namespace
}  // namespace etrlrec
