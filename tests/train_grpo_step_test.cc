// A step of rollouts: its gradient at ratio 1, what micro-batches share, dynamic sampling, and what
// is refused.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/check.h"
#include "tiny_policy.h"
#include "train/policy_forest.h"

namespace etrlrec {
namespace {

// method.md D.11 (5): at ratio 1 every algorithm has the gradient of A log pi, however it averages.
TEST(GrpoStep, first_step_has_the_gradient_of_reinforce) {
  auto model = grpo_model(2);
  const auto rows = tiny_rows();
  for (const char* loss_type : {"sum", "grpo", "dr_grpo", "cispo"}) {
    for (const char* level : {"token", "sequence"}) {
      GrpoOptions options = tiny_options();
      options.policy.loss_type = loss_type;
      options.policy.importance_sampling_level = level;
      if (std::string(loss_type) == "cispo" && std::string(level) == "sequence") continue;
      options.policy.max_completion_length = 5;
      options.exact_answer_expectation = false;
      GrpoObjective objective(*model, nullptr, rows, options, toy_reward);
      const GrpoObjective::Batch batch = objective.roll_out(kBoth, 0, 5);
      const at::Tensor found = policy_gradient(*model, objective.batch_loss(batch, 0).loss);

      const std::vector<double> advantages = group_advantages(batch.rewards, 4, "rloo", 0);
      at::Tensor loss = at::zeros({});
      double tokens = 0;
      for (size_t i = 0; i < batch.completions.size(); ++i) {
        const Completion& c = batch.completions[i];
        const int64_t size = c.reasoning_tokens + (c.forced_close ? 0 : 1);
        const PolicySample sample{
            0, {c.ids.begin(), c.ids.begin() + c.reasoning_tokens + 1}, size, c.answer};
        const PolicyOutput policy = evaluate_policy(
            *model,
            build_policy_forest(*model, std::array{rows[i / 4].prompt},
                                std::array{rows[i / 4].answers}, std::array{sample}),
            false);
        const double length = static_cast<double>(size + 1);
        const std::string type = loss_type;
        const double weight = type == "grpo"      ? 1 / (8 * length)
                              : type == "dr_grpo" ? 1 / (8 * 5.)
                              : type == "sum"     ? 1 / 8.
                                                  : 1;
        loss = loss - advantages[i] * weight *
                          (policy.logprobs.sum() + policy.answer_logprobs[0][c.answer]);
        tokens += length;
      }
      if (std::string(loss_type) == "cispo") loss = loss / tokens;
      const at::Tensor expected = policy_gradient(*model, loss);
      EXPECT_GT(expected.norm().item<double>(), 1e-3);
      EXPECT_TRUE(at::allclose(found, expected, 1e-3, 1e-6)) << loss_type << " " << level;
    }
  }
}

TEST(GrpoStep, a_reward_that_is_not_finite_is_an_error) {
  auto model = grpo_model();
  const auto broken = [](std::span<const Rollout> rollouts, int64_t step) {
    auto scored = toy_reward(rollouts, step);
    scored.back().reward_by_answer[2] = std::nan("");
    return scored;
  };
  GrpoObjective objective(*model, nullptr, tiny_rows(), tiny_options(), broken);
  Rng rng(1, "step");
  EXPECT_THROW(objective.loss(kBoth, 0, rng), Error);
}

double bonus_of(const Completion& completion) {
  double sum = 0;
  for (int64_t t = 0; t < completion.reasoning_tokens; ++t)
    sum += 0.1 * static_cast<double>(completion.ids[t]);
  return sum;
}

// Rows whose reward is the same for every completion, and one that differs.
std::vector<ScoredCompletion> reward_of_row(std::span<const Rollout> rollouts, int64_t) {
  std::vector<ScoredCompletion> scored;
  for (const Rollout& rollout : rollouts) {
    const double bonus = rollout.id >= 200 ? bonus_of(*rollout.output) : 0;
    ScoredCompletion& s = scored.emplace_back();
    for (int k = 0; k < 3; ++k) s.reward_by_answer.push_back(0.5 + bonus);
    s.components = {{0.5, {1, 1, 1}}, {1, {bonus, bonus, bonus}}};
  }
  return scored;
}

TEST(GrpoStep, micro_batches_divide_by_the_rows_and_tokens_of_the_step) {
  for (const char* loss_type : {"grpo", "dapo", "dr_grpo", "sum", "cispo"}) {
    for (const char* advantage : {"rloo", "batch", "gdpo"}) {
      auto model = grpo_model(2);
      GrpoOptions options = tiny_options();
      options.policy.loss_type = loss_type;
      options.policy.max_completion_length = 4;
      options.advantage = advantage;
      options.exact_answer_expectation = false;
      std::vector<GrpoRow> rows = tiny_rows();
      rows.push_back({{4, 4}, rows[0].answers, 0, 300});
      GrpoObjective objective(*model, nullptr, rows, options, reward_of_row);
      const std::vector<int64_t> first{0, 1}, second{2};
      const GrpoObjective::Batch a = objective.roll_out(first, 0, 5),
                                 b = objective.roll_out(second, 0, 6);
      GrpoObjective::Batch whole = a;
      whole.rows.push_back(b.rows[0]);
      whole.completions.insert(whole.completions.end(), b.completions.begin(), b.completions.end());
      whole.scored.insert(whole.scored.end(), b.scored.begin(), b.scored.end());
      whole.rewards.insert(whole.rewards.end(), b.rewards.begin(), b.rewards.end());
      const at::Tensor together = policy_gradient(*model, objective.batch_loss(whole, 0).loss);
      const std::vector<const GrpoObjective::Batch*> parts{&a, &b};
      const std::vector<double> shares{2. / 3, 1. / 3};
      const auto plan = objective.plan_step(parts, shares);
      const at::Tensor apart =
          policy_gradient(*model, objective.batch_loss(a, plan[0], 0).loss) * shares[0] +
          policy_gradient(*model, objective.batch_loss(b, plan[1], 0).loss) * shares[1];
      EXPECT_GT(together.norm().item<double>(), 1e-3);
      EXPECT_TRUE(at::allclose(together, apart, 1e-4, 1e-6)) << loss_type << " " << advantage;
    }
  }
}

TEST(GrpoStep, dynamic_sampling_drops_what_does_not_differ_and_refills_up_to_half_a_step) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.num_generations = 16;
  options.dynamic_sampling = true;
  options.advantage = "group";
  std::vector<GrpoRow> rows;
  for (int64_t id : {100, 101, 102, 200, 201, 202, 203})
    rows.push_back({{3, 4, 5}, {{6}, {7}, {8}}, 1, id});
  std::vector<int64_t> seen;
  const auto log = [&](int64_t, std::span<const Rollout> rollouts, auto, auto values, auto) {
    for (size_t i = 0; i < rollouts.size(); i += 16) seen.push_back(rollouts[i].id);
    EXPECT_EQ(values.size(), rollouts.size());
    for (size_t i = 0; i < rollouts.size(); ++i)
      EXPECT_NEAR(values[i], 0.5 + bonus_of(*rollouts[i].output), 1e-5);
  };
  GrpoObjective objective(*model, nullptr, rows, options, reward_of_row, log);
  const std::vector<int64_t> first{0, 3}, second{1, 4}, third{2, 5};
  const std::vector<MicroBatch> parts{
      {first, Rng(1, "a")}, {second, Rng(1, "b")}, {third, Rng(1, "c")}};
  objective.begin_step(parts, 0);
  std::map<std::string, double> metrics;
  for (const MicroBatch& part : parts) {
    Rng rng = part.rng;
    metrics = objective.loss(part.rows, 0, rng).metrics;
  }
  EXPECT_EQ(metrics.at("dynamic_sampling/dropped"), 0.5);
  EXPECT_NEAR(metrics.at("dynamic_sampling/refilled"), 1. / 6, 1e-12);  // one row was left
  EXPECT_EQ(seen, (std::vector<int64_t>{200, 203, 201, 202}));
  // At evaluation nothing is dropped.
  EXPECT_EQ(objective.roll_out(first, 0, 5).rows.size(), 2u);
}

TEST(GrpoStep, dynamic_sampling_without_any_difference_keeps_a_group_of_each_micro_batch) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.dynamic_sampling = true;
  GrpoObjective objective(*model, nullptr, {tiny_rows()[0], tiny_rows()[0]}, options,
                          reward_of_row);
  const MicroBatch both{kBoth, Rng(1, "a")};
  objective.begin_step({&both, 1}, 0);
  Rng rng = both.rng;
  const LossOutput output = objective.loss(kBoth, 0, rng);
  EXPECT_EQ(output.metrics.at("dynamic_sampling/dropped"), 1);
  EXPECT_EQ(output.metrics.at("frac_reward_zero_std"), 1);
}

TEST(GrpoStep, refuses_what_is_unknown_and_what_does_not_go_together) {
  const std::pair<void (*)(GrpoOptions&), const char*> refused[] = {
      {[](GrpoOptions& o) { o.advantage = "median"; }, "advantage"},
      {[](GrpoOptions& o) { o.policy.loss_type = "ppo"; }, "loss type"},
      {[](GrpoOptions& o) { o.policy.importance_sampling_level = "word"; }, "level"},
      {[](GrpoOptions& o) {
         o.policy.loss_type = "cispo", o.policy.importance_sampling_level = "sequence";
       },
       "cispo"},
      {[](GrpoOptions& o) { o.policy.epsilon = 2; }, "epsilon"},
      {[](GrpoOptions& o) { o.dynamic_sampling = true, o.num_generations = 1; }, "group of one"},
      {[](GrpoOptions& o) { o.dynamic_sampling = true, o.format.max_reasoning_tokens = 0; },
       "without reasoning"}};
  EXPECT_NO_THROW(check_grpo_options(tiny_options()));
  for (const auto& [change, words] : refused) {
    GrpoOptions options = tiny_options();
    change(options);
    try {
      check_grpo_options(options);
      ADD_FAILURE() << words;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
}

TEST(GrpoStep, a_reward_without_components_has_no_component_advantages) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.advantage = "gdpo";
  GrpoObjective objective(*model, nullptr, tiny_rows(), options, toy_reward);
  Rng rng(1, "step");
  EXPECT_THROW(objective.loss(kBoth, 0, rng), Error);
}

}  // namespace
}  // namespace etrlrec
