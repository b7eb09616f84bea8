// What --method and --algorithm set: a row for each published setting, and what is given wins.
#include <gtest/gtest.h>

#include <set>

#include "base/check.h"
#include "method/reinforce_presets.h"

namespace etrlrec {
namespace {

IsGiven given(const std::set<std::string>& flags) {
  return [flags](const std::string& flag) { return flags.contains(flag); };
}

TEST(ReinforcePresets, algorithms_set_what_their_papers_say) {
  struct Published {
    const char *name, *loss_type, *advantage, *level;
    double epsilon, epsilon_high, beta;
    bool dynamic_sampling;
  };
  const Published rows[] = {{"grpo", "grpo", "group", "token", .2, .2, .04, false},
                            {"dr-grpo", "dr_grpo", "mean", "token", .2, .2, 0, false},
                            {"dapo", "dapo", "group", "token", .2, .28, 0, true},
                            {"gspo", "grpo", "group", "sequence", 3e-4, 4e-4, 0, false},
                            {"rloo", "sum", "rloo", "token", .2, .2, .05, false},
                            {"cispo", "cispo", "group", "token", 1, 4, 0, false},
                            {"gdpo", "dapo", "gdpo", "token", .2, .2, 0, false}};
  EXPECT_EQ(algorithm_names().size(), std::size(rows));
  for (const Published& row : rows) {
    ReinforceOptions options;
    apply_algorithm(row.name, given({}), options);
    EXPECT_EQ(options.grpo.policy.loss_type, row.loss_type) << row.name;
    EXPECT_EQ(options.grpo.advantage, row.advantage) << row.name;
    EXPECT_EQ(options.grpo.policy.importance_sampling_level, row.level) << row.name;
    EXPECT_EQ(options.grpo.policy.epsilon, row.epsilon) << row.name;
    EXPECT_EQ(options.grpo.policy.epsilon_high, row.epsilon_high) << row.name;
    EXPECT_EQ(options.grpo.policy.beta, row.beta) << row.name;
    EXPECT_EQ(options.grpo.dynamic_sampling, row.dynamic_sampling) << row.name;
    options.grpo.format.max_reasoning_tokens = 9;
    EXPECT_NO_THROW(check_grpo_options(options.grpo)) << row.name;
  }
  ReinforceOptions options;
  EXPECT_THROW(apply_algorithm("ppo", given({}), options), Error);
}

TEST(ReinforcePresets, what_is_given_wins_and_is_not_reported) {
  ReinforceOptions options;
  options.grpo.policy.beta = 0.5;
  options.grpo.advantage = "mean";
  const Settings settings = apply_algorithm("dapo", given({"--beta", "--advantage"}), options);
  EXPECT_EQ(options.grpo.policy.beta, 0.5);
  EXPECT_EQ(options.grpo.advantage, "mean");
  EXPECT_EQ(options.grpo.policy.epsilon_high, 0.28);
  EXPECT_EQ(format_settings(settings),
            "--loss-type dapo --importance-sampling-level token --epsilon 0.2 --epsilon-high 0.28 "
            "--kl-estimator k3 --dynamic-sampling");
}

TEST(ReinforcePresets, faithful_is_etrlrec_as_it_is_described) {
  ReinforceOptions options;
  const Settings settings = apply_method("faithful", given({}), options);
  EXPECT_EQ(options.reward.mode, RewardMode::kFaithful);
  EXPECT_EQ(options.reward.crm, CrmReward::kFaithful);
  EXPECT_EQ(options.reward.gate, "off");
  EXPECT_EQ(options.curriculum.name, "C0");
  EXPECT_EQ(options.curriculum.switch_step, 50);
  EXPECT_FALSE(options.rank_credit);
  EXPECT_FALSE(options.grpo.exact_answer_expectation);
  EXPECT_EQ(options.grpo.num_generations, 32);
  EXPECT_EQ(options.grpo.temperature, 0.7);
  EXPECT_EQ(options.grpo.top_p, 0.85);
  EXPECT_EQ(options.grpo.advantage, "group");
  EXPECT_EQ(options.grpo.std_floor, 0);
  EXPECT_EQ(options.grpo.policy.loss_type, "bnpo");
  EXPECT_EQ(options.grpo.policy.beta, 0.04);
  EXPECT_EQ(options.grpo.policy.kl_estimator, "k3");
  EXPECT_EQ(options.grpo.policy.epsilon, 0.2);
  EXPECT_EQ(options.grpo.policy.epsilon_high, 0.2);
  EXPECT_EQ(options.grpo.lambda_format, 0);
  EXPECT_EQ(options.trainer.learning_rate, 5e-6);
  EXPECT_EQ(options.trainer.weight_decay, 1e-4);
  EXPECT_EQ(options.trainer.train_batch_size * options.trainer.gradient_accumulation_steps, 28);
  const std::string text = format_settings(settings);
  for (const char* part : {"--reward-mode faithful", "--no-rb", "--no-rank-credit", "--gate off"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  options.grpo.format.max_reasoning_tokens = 9;
  EXPECT_NO_THROW(check_grpo_options(options.grpo));
}

TEST(ReinforcePresets, a_faithful_judge_sees_the_outcome_and_no_facts) {
  ReinforceOptions options;
  options.judge.kind = "local";
  apply_method("faithful", given({}), options);
  EXPECT_TRUE(options.judge.reveal);
  EXPECT_FALSE(options.judge.fact_sheet);
  ReinforceOptions kept;
  kept.judge.kind = "local";
  apply_method("faithful", given({"--judge-reveal", "--judge-facts"}), kept);
  EXPECT_FALSE(kept.judge.reveal);
  EXPECT_TRUE(kept.judge.fact_sheet);
}

TEST(ReinforcePresets, faithful_with_options_of_ours_keeps_them) {
  ReinforceOptions options;
  options.grpo.temperature = 1.0;
  set_reward_mode(options.reward, "verified", "");
  apply_method("faithful", given({"--temperature", "--reward-mode", "--rb"}), options);
  EXPECT_EQ(options.grpo.temperature, 1.0);
  EXPECT_EQ(options.reward.mode, RewardMode::kVerified);
  EXPECT_EQ(options.reward.crm, CrmReward::kCalibrated);
  EXPECT_TRUE(options.grpo.exact_answer_expectation);
  EXPECT_EQ(options.grpo.top_p, 0.85);
  ReinforceOptions ours;
  EXPECT_TRUE(apply_method("ours", given({}), ours).empty());
  EXPECT_THROW(apply_method("theirs", given({}), ours), Error);
}

}  // namespace
}  // namespace etrlrec
