// Rollout groups on a tiny model: exact identities of the first step, symmetries, agreement of the
// forest with single rows and with the engine, and the exact answer expectation against sampling.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/check.h"
#include "tiny_policy.h"
#include "train/policy_forest.h"

namespace etrlrec {
namespace {

// One step of plain gradient descent.
void descend(LanguageModel& model, const at::Tensor& loss) {
  loss.backward();
  at::NoGradGuard no_grad;
  for (auto& [name, tensor] : model.parameters()) {
    tensor.sub_(tensor.grad(), 0.2);
    tensor.mutable_grad().zero_();
  }
}

TEST(Grpo, first_step_has_ratio_one_no_clipping_and_no_divergence) {
  for (bool exact : {true, false}) {
    auto model = grpo_model();
    model->adapters().attach({2, 4, {}}, 5);
    GrpoOptions options = tiny_options();
    options.policy.beta = 0.1;
    options.exact_answer_expectation = exact;
    GrpoObjective objective(*model, model.get(), tiny_rows(), options, toy_reward);
    Rng rng(1, "step");
    LossOutput output = objective.loss(kBoth, 0, rng);
    EXPECT_EQ(output.metrics.at("kl"), 0);
    EXPECT_EQ(output.metrics.at("importance_ratio"), 1);
    EXPECT_EQ(output.metrics.at("clip_ratio/region_mean"), 0);
  }
}

TEST(Grpo, divergence_from_a_frozen_copy_grows_when_the_policy_moves) {
  auto model = grpo_model(), frozen = grpo_model();
  GrpoOptions options = tiny_options();
  options.policy.beta = 0.1;
  GrpoObjective objective(*model, frozen.get(), tiny_rows(), options, toy_reward);
  Rng rng(1, "step");
  EXPECT_EQ(objective.loss(kBoth, 0, rng).metrics.at("kl"), 0);
  {
    at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model->parameters()) tensor.mul_(1.1);
  }
  EXPECT_GT(objective.loss(kBoth, 0, rng).metrics.at("kl"), 0);
}

TEST(Grpo, trainer_and_engine_agree_on_tokens_and_answers) {
  auto model = grpo_model(2);
  GrpoOptions options = tiny_options();
  auto rows = tiny_rows();
  rows[0].answers =
      rows[1].answers = {{6, 2}, {7, 8}, {7, 2}};  // several tokens, shared beginnings
  GrpoObjective objective(*model, nullptr, rows, options, toy_reward);
  GrpoObjective::Batch batch = objective.roll_out(kBoth, 0, 3);
  LossOutput output = objective.batch_loss(batch, 0);
  EXPECT_LT(output.metrics.at("logprob_gap"), 1e-4);

  std::vector<PolicySample> samples;
  for (int64_t i = 0; i < 8; ++i) {
    const Completion& c = batch.completions[i];
    samples.push_back(
        {i / 4, {c.ids.begin(), c.ids.begin() + c.reasoning_tokens + 1}, 0, c.answer});
  }
  std::vector<std::vector<int64_t>> prompts{rows[0].prompt, rows[1].prompt};
  std::vector<std::vector<std::vector<int64_t>>> answers{rows[0].answers, rows[1].answers};
  at::NoGradGuard no_grad;
  PolicyOutput found =
      evaluate_policy(*model, build_policy_forest(*model, prompts, answers, samples), false);
  for (int64_t i = 0; i < 8; ++i)
    for (int64_t k = 0; k < 3; ++k)
      EXPECT_NEAR(found.answer_logprobs[i][k].item<float>(),
                  batch.completions[i].answer_logprobs[k], 1e-4);
}

TEST(Grpo, rewards_belong_to_the_completions_they_were_given_for) {
  auto model = grpo_model();
  GrpoObjective objective(*model, nullptr, tiny_rows(), tiny_options(), toy_reward);
  GrpoObjective::Batch batch = objective.roll_out(kBoth, 0, 5);
  for (size_t i = 0; i < batch.completions.size(); ++i) {
    EXPECT_EQ(batch.rollouts[i].id, i < 4 ? 100 : 200);
    EXPECT_EQ(batch.rollouts[i].output, &batch.completions[i]);
    double bonus = batch.completions[i].ids[0] == 9 ? 0.5 : 0;
    int64_t k = batch.completions[i].answer;
    EXPECT_DOUBLE_EQ(batch.rewards[i], k == 1 ? 1 + bonus : 0.2 * k - bonus);
  }
}

TEST(Grpo, order_inside_a_group_does_not_matter) {
  for (bool exact : {true, false}) {
    auto model = grpo_model();
    GrpoOptions options = tiny_options();
    options.exact_answer_expectation = exact;
    options.policy.loss_type = "dapo";
    GrpoObjective objective(*model, nullptr, tiny_rows(), options, toy_reward);
    GrpoObjective::Batch batch = objective.roll_out(kBoth, 0, 5);
    at::Tensor before = policy_gradient(*model, objective.batch_loss(batch, 0).loss);
    for (size_t a : {0, 4}) {
      std::swap(batch.completions[a], batch.completions[a + 3]);
      std::swap(batch.scored[a], batch.scored[a + 3]);
      std::swap(batch.rewards[a], batch.rewards[a + 3]);
    }
    at::Tensor after = policy_gradient(*model, objective.batch_loss(batch, 0).loss);
    EXPECT_TRUE(at::allclose(before, after, 1e-4, 1e-6));
  }
}

TEST(Grpo, groups_in_one_forest_give_the_gradient_of_separate_groups) {
  auto model = grpo_model(2);
  GrpoObjective objective(*model, nullptr, tiny_rows(), tiny_options(), toy_reward);
  GrpoObjective::Batch both = objective.roll_out(kBoth, 0, 5);
  at::Tensor together = policy_gradient(*model, objective.batch_loss(both, 0).loss);
  at::Tensor apart;
  for (size_t g : {0, 1}) {
    GrpoObjective::Batch one;
    one.rows = {both.rows[g]};
    for (size_t i = 4 * g; i < 4 * g + 4; ++i) {
      one.completions.push_back(both.completions[i]);
      one.scored.push_back(both.scored[i]);
      one.rewards.push_back(both.rewards[i]);
    }
    at::Tensor gradient = policy_gradient(*model, objective.batch_loss(one, 0).loss) / 2;
    apart = apart.defined() ? apart + gradient : gradient;
  }
  EXPECT_TRUE(at::allclose(together, apart, 1e-4, 1e-6));
}

TEST(Grpo, tokens_closed_by_force_carry_no_loss) {
  std::vector<std::vector<int64_t>> prompts{{3, 4}};
  std::vector<std::vector<std::vector<int64_t>>> answers{{{6}, {7}}};
  std::vector<PolicySample> samples{{0, {5, 9, kTinyClose}, 2, 0}, {0, {kTinyClose}, 1, 1}};
  const auto model = grpo_model(2);
  PolicyForest forest = build_policy_forest(*model, prompts, answers, samples);
  EXPECT_EQ(forest.targets, (std::vector<int64_t>{5, 9, kTinyClose}));
  EXPECT_EQ(forest.rows, (std::vector<int64_t>{0, 0, 1}));
  EXPECT_EQ(forest.sources, (std::vector<int64_t>{1, 2, 1}));
  EXPECT_EQ(forest.node_sources, (std::vector<int64_t>{4, 5}));
}

TEST(Grpo, contract_is_the_likelihood_of_any_answer_and_then_the_finish) {
  auto model = grpo_model(2);
  at::NoGradGuard no_grad;
  const std::vector<std::vector<int64_t>> prompts{{3, 4}};
  const std::vector<int64_t> reasoning{5, 9, kTinyClose};
  for (const std::vector<std::vector<int64_t>>& answers :
       {std::vector<std::vector<int64_t>>{{6}, {7}}, {{6, 2}, {7, 8}, {7, 2}}}) {
    const PolicySample sample{0, reasoning, 2, 1, {8, kTinyEos}};
    const PolicyOutput found = evaluate_policy(
        *model, build_policy_forest(*model, prompts, std::array{answers}, std::array{sample}),
        false);
    // Twin: every answer and the finish as plain text.
    double any = 0, finish = 0;
    for (size_t k = 0; k < answers.size(); ++k) {
      std::vector<int64_t> text = reasoning;
      text.insert(text.end(), answers[k].begin(), answers[k].end());
      text.insert(text.end(), {8, kTinyEos});
      const PolicySample plain{0, text, static_cast<int64_t>(text.size())};
      const at::Tensor logprobs =
          evaluate_policy(
              *model,
              build_policy_forest(*model, prompts, std::array{std::vector<std::vector<int64_t>>{}},
                                  std::array{plain}),
              false)
              .logprobs;
      const auto size = static_cast<int64_t>(answers[k].size());
      any += std::exp(logprobs.slice(0, 3, 3 + size).sum().item<double>());
      if (k == 1) finish = logprobs.slice(0, 3 + size).sum().item<double>();
    }
    EXPECT_NEAR(found.contract_logprobs[0].item<double>(), std::log(any) + finish, 1e-4);
    EXPECT_NEAR(found.answer_logprobs.exp().sum().item<double>(), 1, 1e-5);
  }
}

TEST(Grpo, the_weight_of_the_contract_raises_its_likelihood) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.lambda_format = 0.5;
  options.format.finish = {8, kTinyEos};
  GrpoObjective objective(*model, nullptr, tiny_rows(), options, toy_reward);
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    Rng rng(1, "step", step);
    LossOutput output = objective.loss(kBoth, step, rng);
    (step == 0 ? first : last) = output.metrics.at("answer/contract_nll");
    descend(*model, output.loss);
  }
  EXPECT_LT(last, first - 0.5);
}

TEST(Grpo, exact_expectation_has_the_gradient_of_sampling_and_less_variance) {
  auto model = grpo_model();
  constexpr int kBatches = 200;  // of 500 draws: 10^5
  auto estimate = [&](bool exact, at::Tensor& mean, at::Tensor& variance) {
    GrpoOptions options = tiny_options();
    options.num_generations = 500;
    options.exact_answer_expectation = exact;
    GrpoObjective objective(*model, nullptr, {tiny_rows()[0]}, options, toy_reward);
    std::vector<at::Tensor> gradients;
    std::vector<int64_t> row{0};
    for (int b = 0; b < kBatches; ++b) {
      Rng rng(exact ? 1 : 2, "batch", b);
      gradients.push_back(policy_gradient(*model, objective.loss(row, 0, rng).loss));
    }
    at::Tensor all = at::stack(gradients).to(at::kDouble);
    mean = all.mean(0);
    variance = all.var(0);
  };
  at::Tensor exact, exact_variance, sampled, sampled_variance;
  estimate(true, exact, exact_variance);
  estimate(false, sampled, sampled_variance);
  at::Tensor error = ((exact_variance + sampled_variance) / kBatches).sqrt();
  at::Tensor used = error > 1e-7;
  at::Tensor z = ((exact - sampled) / error).masked_select(used);
  EXPECT_GT(z.numel(), 100);
  EXPECT_LT((z.abs() > 3).to(at::kDouble).mean().item<double>(), 0.02);
  EXPECT_LT((z * z).mean().item<double>(), 2);
  EXPECT_LT(exact_variance.sum().item<double>(), 0.7 * sampled_variance.sum().item<double>());
  EXPECT_GT(exact.norm().item<double>(), 5 * error.norm().item<double>());  // there is a signal
}

TEST(Grpo, a_few_steps_raise_the_expected_reward) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.num_generations = 8;
  GrpoObjective objective(*model, nullptr, tiny_rows(), options, toy_reward);
  double first = 0, last = 0;
  for (int step = 0; step < 40; ++step) {
    Rng rng(1, "step", step);
    LossOutput output = objective.loss(kBoth, step, rng);
    (step == 0 ? first : last) = output.metrics.at("reward_expected");
    descend(*model, output.loss);
  }
  EXPECT_GT(last, first + 0.2);
}

TEST(Grpo, without_reasoning_it_is_exact_expected_reward_training) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.format.close = {};
  options.format.max_reasoning_tokens = 0;
  GrpoObjective objective(*model, nullptr, tiny_rows(), options, toy_reward);
  GrpoObjective::Batch batch = objective.roll_out(kBoth, 0, 5);
  LossOutput output = objective.batch_loss(batch, 0);
  double expected = 0;
  for (const Completion& c : batch.completions)
    for (int k = 0; k < 3; ++k) {
      double bonus = c.ids[0] == 9 ? 0.5 : 0;
      expected += std::exp(c.answer_logprobs[k]) * (k == 1 ? 1 + bonus : 0.2 * k - bonus) / 8;
    }
  EXPECT_NEAR(output.loss.item<double>(), -expected, 1e-5);
}

TEST(Grpo, reports_the_names_users_know) {
  auto model = grpo_model();
  GrpoObjective objective(*model, nullptr, tiny_rows(), tiny_options(), toy_reward);
  Rng rng(1, "step");
  auto metrics = objective.loss(kBoth, 0, rng).metrics;
  for (const char* name :
       {"reward", "reward_std", "rewards/label/mean", "rewards/label/std", "frac_reward_zero_std",
        "entropy", "clip_ratio/region_mean", "completions/mean_length", "completions/min_length",
        "completions/max_length", "completions/clipped_ratio", "valid_ratio", "unique_ratio",
        "logprob_gap", "step_time", "answer/hit_rate", "answer/target_probability"})
    EXPECT_TRUE(metrics.contains(name)) << name;
}

TEST(Grpo, free_text_is_trained_on_all_of_its_tokens) {
  auto model = grpo_model();
  GrpoOptions options = tiny_options();
  options.exact_answer_expectation = false;
  options.max_new_tokens = 5;
  options.eos_id = kTinyEos;
  std::vector<GrpoRow> rows{{{3, 4}, {}, -1, 1}};
  auto reward = [](std::span<const Rollout> rollouts, int64_t) {
    std::vector<ScoredCompletion> scored(rollouts.size());
    for (size_t i = 0; i < scored.size(); ++i)
      scored[i].reward = static_cast<double>(rollouts[i].output->ids.size());
    return scored;
  };
  GrpoObjective objective(*model, nullptr, rows, options, reward);
  Rng rng(1, "step");
  std::vector<int64_t> row{0};
  LossOutput output = objective.loss(row, 0, rng);
  EXPECT_LT(output.metrics.at("logprob_gap"), 1e-4);
  EXPECT_EQ(output.metrics.at("reward"), output.metrics.at("completions/mean_length"));
}

TEST(Grpo, refuses_broken_rewards_and_a_missing_reference) {
  auto model = grpo_model();
  Rng rng(1, "step");
  auto too_few = [](std::span<const Rollout>, int64_t) { return std::vector<ScoredCompletion>(1); };
  GrpoObjective short_one(*model, nullptr, tiny_rows(), tiny_options(), too_few);
  EXPECT_THROW(short_one.loss(kBoth, 0, rng), Error);
  auto not_finite = [](std::span<const Rollout> rollouts, int64_t step) {
    auto scored = toy_reward(rollouts, step);
    scored[2].reward_by_answer[0] = std::nan("");
    return scored;
  };
  GrpoObjective broken(*model, nullptr, tiny_rows(), tiny_options(), not_finite);
  EXPECT_THROW(broken.loss(kBoth, 0, rng), Error);
  GrpoOptions options = tiny_options();
  options.policy.beta = 0.1;
  EXPECT_THROW(GrpoObjective(*model, nullptr, tiny_rows(), options, toy_reward), Error);
}

}  // namespace
}  // namespace etrlrec
