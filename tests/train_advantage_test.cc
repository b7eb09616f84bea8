// Advantages and policy losses: worked vectors of method.md D, TRL's golden numbers, symmetries.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/json.h"
#include "base/rng.h"
#include "golden_path.h"
#include "train/advantage.h"

namespace etrlrec {
namespace {

using Values = std::vector<double>;

const Values kComponentAdvantages{1.579395550651,  -0.072751452545, -0.526465183550,
                                  -0.980178914556, 0.855456299714,  0.855456299714,
                                  -1.263025058945, -0.447887540484};

void expect_near(const Values& found, const Values& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

at::Tensor floats(const Values& values) {
  return at::tensor(at::ArrayRef<double>(values)).to(at::kFloat);
}

at::Tensor rows_of(const std::vector<int64_t>& values) {
  return at::tensor(at::ArrayRef<int64_t>(values));
}

at::Tensor gradient_of(const at::Tensor& loss, const at::Tensor& leaf) {
  loss.backward();
  return leaf.grad();
}

TEST(Advantage, matches_the_worked_group) {
  Values rewards{1, 0, 0, 0};
  expect_near(group_advantages(rewards, 4, "group", 0, 0), {1.5, -.5, -.5, -.5}, 1e-12);
  expect_near(group_advantages(rewards, 4, "mean", 0), {.75, -.25, -.25, -.25}, 1e-12);
  expect_near(group_advantages(rewards, 4, "rloo", 0), {1, -1. / 3, -1. / 3, -1. / 3}, 1e-12);
}

TEST(Advantage, floor_keeps_tiny_differences_tiny) {
  Values rewards{0.501, 0.5, 0.5, 0.5};
  EXPECT_LT(std::abs(group_advantages(rewards, 4, "group", 0.05)[0]), 0.02);
  EXPECT_GT(group_advantages(rewards, 4, "group", 0)[0], 1.0);
}

TEST(Advantage, is_equivariant_under_permutations_of_a_group) {
  Values rewards{0.3, -1, 2, 0.7, 0, 0, 1, 1}, moved{2, 0.3, 0.7, -1, 1, 0, 1, 0};
  for (const char* kind : {"group", "batch", "mean", "rloo"}) {
    Values a = group_advantages(rewards, 4, kind, 0.05), b = group_advantages(moved, 4, kind, 0.05);
    expect_near(b, {a[2], a[0], a[3], a[1], a[6], a[4], a[7], a[5]}, 1e-12);
  }
}

TEST(Advantage, refuses_broken_groups_and_rewards_that_are_not_finite) {
  EXPECT_THROW(group_advantages(Values{1, 2, 3}, 2, "mean", 0), Error);
  EXPECT_THROW(group_advantages(Values{1, std::nan("")}, 2, "mean", 0), Error);
  EXPECT_THROW(group_advantages(Values{1, 2}, 2, "median", 0), Error);
  EXPECT_THROW(group_advantages(Values{1, 2}, 1, "rloo", 0), Error);
}

// Reference: TRL's normalize_then_sum on the same numbers, in double (sample std, 1e-4).
TEST(Advantage, of_components_are_z_scores_summed_and_whitened) {
  const ComponentRewards label{{1, 0, 0, 0, 1, 1, 0, 0}, Values(8, 0.6)};
  const ComponentRewards reasoning{{.2, .9, .5, .1, .3, .3, .3, .7}, Values(8, 0.2)};
  const ComponentRewards silent{Values(8, -1), Values(8, 0.2)};
  const std::vector<ComponentRewards> all{label, reasoning, silent};
  expect_near(component_advantages(all, 4, 0), kComponentAdvantages, 1e-9);
  // A floor keeps a term quiet whose values hardly differ.
  const std::vector<ComponentRewards> tiny{label, {{0, 0, 0, 1e-3, 0, 0, 0, 1e-3}, Values(8, 1)}};
  const Values floored = component_advantages(tiny, 4, 0.05);
  EXPECT_LT(std::abs(floored[3] - floored[2]), 0.1);
  EXPECT_GT(component_advantages(tiny, 4, 0)[3], 1);
}

TEST(Advantage, of_components_refuse_what_does_not_fit) {
  EXPECT_THROW(component_advantages({}, 4, 0), Error);
  const std::vector<ComponentRewards> uneven{{{1, 0}, {1, 1}}, {{1, 0, 1, 0}, {1, 1, 1, 1}}};
  EXPECT_THROW(component_advantages(uneven, 2, 0), Error);
  const std::vector<ComponentRewards> broken{{{1, std::nan("")}, {1, 1}}};
  EXPECT_THROW(component_advantages(broken, 2, 0), Error);
}

TEST(Advantage, counts_groups_without_variance) {
  EXPECT_DOUBLE_EQ(zero_variance_share(Values{1, 1, 0, 1}, 2), 0.5);
  EXPECT_DOUBLE_EQ(zero_variance_share(Values{}, 2), 0);
  EXPECT_NEAR(mean_group_std(Values{1, 1, 0, 1}, 2), std::sqrt(0.5) / 2, 1e-12);
}

TEST(Advantage, pass_at_k_bonus_matches_the_worked_numbers) {
  PassAtKBonus one = pass_at_k_bonus(10, 1, 4), three = pass_at_k_bonus(10, 3, 4);
  EXPECT_NEAR(one.hit, 1.225, 1e-3);
  EXPECT_NEAR(one.miss, -0.136, 1e-3);
  EXPECT_NEAR(three.hit, 0.447, 1e-3);
  EXPECT_NEAR(three.miss, -0.192, 1e-3);
  EXPECT_EQ(pass_at_k_bonus(10, 0, 4).hit, 0);
}

TEST(PolicyLoss, first_step_has_ratio_one_no_clipping_and_no_divergence) {
  at::Tensor logprobs = floats({-1.3f, -0.2f, -2.7f}).requires_grad_(true);
  PolicyLossOptions options;
  options.beta = 0.04;
  PolicyLoss loss =
      policy_loss(logprobs, {}, logprobs.detach(), rows_of({0, 0, 1}), floats({1, -1}), options);
  EXPECT_EQ(loss.kl, 0);
  EXPECT_EQ(loss.clip_ratio, 0);
  EXPECT_EQ(loss.mean_ratio, 1);
  at::Tensor gradient = gradient_of(loss.loss, logprobs);
  EXPECT_TRUE(at::allclose(gradient, floats({-1. / 3, -1. / 3, 1. / 3})));  // REINFORCE
}

TEST(PolicyLoss, divergence_estimates_match_the_worked_numbers) {
  PolicyLossOptions options;
  options.beta = 1;
  options.loss_type = "sum";
  auto value = [&](const char* kind) {
    options.kl_estimator = kind;
    return policy_loss(floats({-1}), {}, floats({-0.9}), rows_of({0}), floats({0}), options)
        .loss.item<double>();
  };
  EXPECT_NEAR(value("k2"), 0.005, 1e-6);
  EXPECT_NEAR(value("k3"), 0.0051709, 1e-6);
}

TEST(PolicyLoss, sequence_ratio_is_the_geometric_mean) {
  PolicyLossOptions options;
  options.importance_sampling_level = "sequence";
  PolicyLoss loss = policy_loss(floats({.1, -.05, 0, .15}), floats({0, 0, 0, 0}), {},
                                rows_of({0, 0, 0, 0}), floats({1}), options);
  EXPECT_NEAR(loss.mean_ratio, 1.05127, 1e-5);
}

TEST(PolicyLoss, cispo_clips_the_weight_and_keeps_every_gradient) {
  PolicyLossOptions options;
  options.loss_type = "cispo";
  options.epsilon = 1, options.epsilon_high = 1;
  // Ratios e and 1: the first weight is 2, both tokens have their gradient.
  at::Tensor logprobs = floats({-1, -2}).requires_grad_(true);
  PolicyLoss loss =
      policy_loss(logprobs, floats({-2, -2}), {}, rows_of({0, 0}), floats({3}), options);
  EXPECT_NEAR(loss.loss.item<double>(), -(2 * 3 * -1. + 3 * -2.) / 2, 1e-6);
  EXPECT_TRUE(at::allclose(gradient_of(loss.loss, logprobs), floats({-3, -1.5})));
  EXPECT_NEAR(loss.clip_high, 0.5, 1e-6);
  options.importance_sampling_level = "sequence";
  EXPECT_THROW(policy_loss(logprobs, {}, {}, rows_of({0, 0}), floats({3}), options), Error);
}

TEST(PolicyLoss, rows_without_tokens_cost_nothing) {
  for (const char* kind : {"grpo", "dapo", "dr_grpo", "sum", "cispo"}) {
    PolicyLossOptions options;
    options.loss_type = kind;
    options.max_completion_length = 8;
    at::Tensor none = at::empty({0}), rows = at::empty({0}, at::kLong);
    PolicyLoss loss = policy_loss(none, {}, {}, rows, floats({1, -1}), options);
    EXPECT_EQ(loss.loss.item<double>(), 0) << kind;
    EXPECT_EQ(loss.mean_ratio, 1);
  }
}

TEST(PolicyLoss, extreme_ratios_stay_finite) {
  PolicyLossOptions options;
  options.beta = 0.1;
  PolicyLoss loss =
      policy_loss(floats({-200}), {}, floats({-1}), rows_of({0}), floats({1}), options);
  EXPECT_TRUE(std::isfinite(loss.loss.item<double>()));
}

TEST(PolicyLoss, refuses_unknown_names_and_a_missing_reference) {
  PolicyLossOptions options;
  auto run = [&] { policy_loss(floats({-1}), {}, {}, rows_of({0}), floats({1}), options); };
  options.beta = 0.1;
  EXPECT_THROW(run(), Error);
  options.beta = 0;
  options.loss_type = "ppo";
  EXPECT_THROW(run(), Error);
  options.loss_type = "dr_grpo";  // without a length
  EXPECT_THROW(run(), Error);
}

class TrlGolden : public ::testing::Test {
 protected:
  void SetUp() override { golden_ = read_json(golden_path() / "grpo/golden.json"); }

  // Packs the unmasked entries of a [8, 7] matrix.
  static at::Tensor pack(const Json& matrix, const Json& mask) {
    Values values;
    for (size_t r = 0; r < mask.size(); ++r)
      for (size_t t = 0; t < mask[r].size(); ++t)
        if (mask[r][t] != 0) values.push_back(matrix[r][t]);
    return floats(values);
  }

  static at::Tensor rows(const Json& mask) {
    std::vector<int64_t> values;
    for (size_t r = 0; r < mask.size(); ++r)
      for (const Json& m : mask[r])
        if (m != 0) values.push_back(static_cast<int64_t>(r));
    return rows_of(values);
  }

  Json golden_;
};

TEST_F(TrlGolden, advantages_agree) {
  for (const Json& c : golden_["cases"]) {
    std::string kind =
        c["scale_rewards"] == "none" ? "mean" : c["scale_rewards"].get<std::string>();
    Values rewards = golden_["rewards"][c["rewards"].get<std::string>()];
    expect_near(group_advantages(rewards, golden_["group_size"], kind, 0),
                c["advantages"].get<Values>(), c["rewards"] == "all_equal" ? 1e-3 : 1e-5);
    if (kind == "group") {
      EXPECT_NEAR(zero_variance_share(rewards, golden_["group_size"], 1e-7),
                  c["frac_reward_zero_std"].get<double>(), 1e-6);
    }
  }
}

TEST_F(TrlGolden, losses_gradients_and_clip_shares_agree) {
  const Json& inputs = golden_["inputs"];
  int checked = 0;
  for (const Json& c : golden_["cases"]) {
    const Json& given = c["options"];
    if (given.contains("delta") || given.contains("bias_correction_kl") ||
        given.contains("accumulation"))
      continue;
    PolicyLossOptions options;
    options.loss_type = given["loss_type"];
    if (options.loss_type != "grpo" && options.loss_type != "bnpo" &&
        options.loss_type != "dr_grpo" && options.loss_type != "dapo")
      continue;
    options.epsilon = given.value("eps_low", 0.2);
    options.epsilon_high = given.value("eps_high", 0.2);
    options.beta = given.value("beta", 0.0);
    options.importance_sampling_level = given.value("level", "token");
    options.max_completion_length = golden_["max_completion_length"];
    const Json& mask = c["completion_mask"];
    at::Tensor logprobs = pack(inputs["per_token_logps"], mask).requires_grad_(true);
    at::Tensor old =
        given.value("use_old", true) ? pack(inputs["old_per_token_logps"], mask) : at::Tensor();
    PolicyLoss found = policy_loss(logprobs, old, pack(inputs["ref_per_token_logps"], mask),
                                   rows(mask), floats(c["advantages"]), options);
    EXPECT_NEAR(found.loss.item<double>(), c["loss"].get<double>(), 1e-5) << c.dump();
    at::Tensor gradient = gradient_of(found.loss, logprobs);
    EXPECT_TRUE(at::allclose(gradient, pack(c["grad_per_token_logps"], mask), 1e-4, 1e-6))
        << given.dump();
    const Json& metrics = c["metrics"];
    EXPECT_NEAR(found.clip_ratio, metrics["clip_ratio/region_mean"].get<double>(), 1e-6);
    EXPECT_NEAR(found.clip_low, metrics["clip_ratio/low_mean"].get<double>(), 1e-6);
    EXPECT_NEAR(found.clip_high, metrics["clip_ratio/high_mean"].get<double>(), 1e-6);
    if (metrics.contains("kl")) {
      EXPECT_NEAR(found.kl, metrics["kl"].get<double>(), 1e-5);
    }
    ++checked;
  }
  EXPECT_EQ(checked, 39);
}

// The larger file of the shared golden data has this loss, too. TRL gives the upper bound itself.
TEST_F(TrlGolden, cispo_agrees) {
  const std::filesystem::path file =
      std::filesystem::path(ETRLREC_SOURCE_DIR) / "../shared/golden/grpo/golden.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << ": not here";
  const Json golden = read_json(file), &inputs = golden["inputs"];
  int checked = 0;
  for (const Json& c : golden["cases"]) {
    if (c["options"]["loss_type"] != "cispo") continue;
    PolicyLossOptions options;
    options.loss_type = "cispo";
    options.epsilon = 1;
    options.epsilon_high = c["options"]["eps_high"].get<double>() - 1;
    const Json& mask = c["completion_mask"];
    at::Tensor logprobs = pack(inputs["per_token_logps"], mask).requires_grad_(true);
    const PolicyLoss found = policy_loss(logprobs, pack(inputs["old_per_token_logps"], mask), {},
                                         rows(mask), floats(c["advantages"]), options);
    EXPECT_NEAR(found.loss.item<double>(), c["loss"].get<double>(), 1e-5);
    EXPECT_TRUE(at::allclose(gradient_of(found.loss, logprobs),
                             pack(c["grad_per_token_logps"], mask), 1e-4, 1e-6));
    EXPECT_NEAR(found.clip_ratio, c["metrics"]["cispo_clip_ratio"].get<double>(), 1e-6);
    ++checked;
  }
  EXPECT_EQ(checked, 1);
}

}  // namespace
}  // namespace etrlrec
