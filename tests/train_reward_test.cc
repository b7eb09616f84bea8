// Reward terms: worked vectors of method.md G.3 and G.4, hostile inputs, and the two properties the
// combination promises.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"
#include "train/reward.h"

namespace etrlrec {
namespace {

constexpr RewardWeights kWarmUp{0.4, 0.4, 0.2};
constexpr RewardWeights kLater{0.2, 0.2, 0.6};

RewardOptions faithful() {
  RewardOptions options;
  options.mode = RewardMode::kFaithful;
  options.crm = CrmReward::kFaithful;
  return options;
}

RewardInput answer(int32_t k, int32_t target, int32_t n = 25) {
  RewardInput input;
  input.answer = k;
  input.target = target;
  input.num_candidates = n;
  input.has_reasoning = input.format_ok = true;
  return input;
}

// Scores under which `best` takes all the probability.
std::vector<float> sure_of(int32_t best, int32_t n = 25) {
  std::vector<float> scores(n, 0.f);
  scores[best - 1] = 100.f;
  return scores;
}

TEST(Reward, recommender_term_is_a_softmax_at_temperature) {
  std::vector<float> scores{2, 1, 0};
  EXPECT_NEAR(crm_reward(scores, 1, CrmReward::kFaithful, 0.3), 0.96437, 1e-5);
  EXPECT_NEAR(crm_reward(scores, 2, CrmReward::kFaithful, 0.3), 0.03440, 1e-5);
  EXPECT_NEAR(crm_reward(scores, 3, CrmReward::kFaithful, 0.3), 0.00123, 1e-5);
}

TEST(Reward, calibrated_term_of_the_best_candidate_is_one_and_percentile_is_linear) {
  std::vector<float> scores{1, 3, 2, 2};
  EXPECT_DOUBLE_EQ(crm_reward(scores, 2, CrmReward::kCalibrated, 0.7), 1);
  EXPECT_NEAR(crm_reward(scores, 1, CrmReward::kCalibrated, 0.5), std::exp(-4), 1e-12);
  EXPECT_DOUBLE_EQ(crm_reward(scores, 2, CrmReward::kPercentile, 1), 1);
  EXPECT_DOUBLE_EQ(crm_reward(scores, 3, CrmReward::kPercentile, 1), 0.5);
  EXPECT_DOUBLE_EQ(crm_reward(scores, 1, CrmReward::kPercentile, 1), 0);
}

TEST(Reward, faithful_warm_up_inverts_right_and_wrong) {
  auto other = sure_of(7);
  RewardInput right = answer(3, 3), wrong = answer(7, 3);
  right.crm_scores = wrong.crm_scores = other;
  wrong.reasoning = 1;
  EXPECT_NEAR(compute_reward(right, kWarmUp, faithful()).total, 0.2, 1e-9);
  EXPECT_NEAR(compute_reward(wrong, kWarmUp, faithful()).total, 0.8, 1e-9);
}

TEST(Reward, gate_removes_the_inversion) {
  auto other = sure_of(7);
  RewardInput right = answer(3, 3), wrong = answer(7, 3);
  right.crm_scores = wrong.crm_scores = other;
  wrong.reasoning = wrong.semantic = 1;
  RewardOptions options;
  double best_wrong = compute_reward(wrong, kWarmUp, options).total;
  EXPECT_NEAR(best_wrong, 0.93 * 0.2, 1e-9);
  EXPECT_LT(best_wrong, compute_reward(right, kWarmUp, options).total);
  EXPECT_NEAR(dominance_gate(kWarmUp, 0.3), 0.1575, 1e-12);
  EXPECT_NEAR(dominance_gate(kLater, 0.3), 0.945, 1e-12);
}

TEST(Reward, integer_out_of_range_without_reasoning_is_minus_point_three) {
  RewardInput input = answer(26, 3);
  input.has_reasoning = input.format_ok = false;
  RewardWeights weights = curriculum_weights({}, 60, 0);
  EXPECT_NEAR(compute_reward(input, weights, faithful()).total, -0.3, 1e-12);
  EXPECT_NEAR(compute_reward(input, weights, RewardOptions{}).total, -0.3, 1e-12);
}

TEST(Reward, missing_integer_costs_the_whole_recommender_term) {
  RewardInput input = answer(0, 3);
  input.format_ok = false;
  EXPECT_DOUBLE_EQ(compute_reward(input, kWarmUp, faithful()).crm, -1);
}

TEST(Reward, invalid_format_never_pays_in_verified_mode) {
  auto agrees = sure_of(3);
  RewardInput input = answer(3, 3);
  input.crm_scores = agrees;
  input.reasoning = 1;
  input.format_ok = false;
  EXPECT_DOUBLE_EQ(compute_reward(input, kWarmUp, RewardOptions{}).total, 0);
}

TEST(Reward, every_right_valid_answer_beats_every_wrong_one) {
  Rng rng(1, "dominance");
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<float> scores(10);
    for (float& s : scores) s = static_cast<float>(4 * rng.normal());
    RewardInput right = answer(1 + rng.below(10), 1, 10), wrong = right;
    right.answer = right.target;
    if (wrong.answer == wrong.target) wrong.answer = 2;
    right.crm_scores = wrong.crm_scores = scores;
    right.reasoning = rng.uniform(), wrong.reasoning = rng.uniform();
    wrong.semantic = rng.uniform(), wrong.rank = rng.uniform(), wrong.has_rank = rng.chance(0.5);
    right.completion_tokens = wrong.completion_tokens = rng.below(600);
    right.repetition = wrong.repetition = rng.uniform();
    RewardOptions options;
    options.eta = 0.9 * rng.uniform();
    options.usefulness_share = 0.99 * rng.uniform() * (1 - options.eta) / (2 - options.eta);
    right.usefulness = 2 * rng.uniform() - 1, wrong.usefulness = 2 * rng.uniform() - 1;
    options.crm = static_cast<CrmReward>(rng.below(3));
    RewardWeights weights{rng.uniform(), rng.uniform(), 0.01 + rng.uniform()};
    EXPECT_GT(compute_reward(right, weights, options).total,
              compute_reward(wrong, weights, options).total);
  }
}

TEST(Reward, does_not_depend_on_the_order_of_the_candidates) {
  Rng rng(2, "permutation");
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<float> scores(12), similarities(12), moved(12), moved_similarities(12);
    for (float& s : scores) s = static_cast<float>(rng.normal());
    for (float& s : similarities) s = static_cast<float>(rng.uniform());
    std::vector<int32_t> place(12);
    std::iota(place.begin(), place.end(), 0);
    rng.shuffle(place);
    for (int c = 0; c < 12; ++c)
      moved[place[c]] = scores[c], moved_similarities[place[c]] = similarities[c];
    RewardInput input = answer(1 + rng.below(12), 1 + rng.below(12), 12), other = input;
    other.answer = place[input.answer - 1] + 1, other.target = place[input.target - 1] + 1;
    input.crm_scores = scores, other.crm_scores = moved;
    input.semantic = semantic_reward(similarities, input.answer, input.target);
    other.semantic = semantic_reward(moved_similarities, other.answer, other.target);
    for (CrmReward kind : {CrmReward::kFaithful, CrmReward::kCalibrated, CrmReward::kPercentile}) {
      RewardOptions options;
      options.crm = kind;
      EXPECT_NEAR(compute_reward(input, kLater, options).total,
                  compute_reward(other, kLater, options).total, 1e-6);
    }
  }
}

TEST(Reward, a_mode_brings_its_own_recommender_term) {
  RewardOptions options;
  set_reward_mode(options, "faithful", "");
  EXPECT_EQ(options.mode, RewardMode::kFaithful);
  EXPECT_EQ(options.crm, CrmReward::kFaithful);
  set_reward_mode(options, "verified", "");
  EXPECT_EQ(options.mode, RewardMode::kVerified);
  EXPECT_EQ(options.crm, CrmReward::kCalibrated);
  set_reward_mode(options, "faithful", "percentile");
  EXPECT_EQ(options.crm, CrmReward::kPercentile);
  EXPECT_THROW(set_reward_mode(options, "strict", ""), Error);
  EXPECT_THROW(set_reward_mode(options, "verified", "rank"), Error);
}

TEST(Reward, a_judge_counts_for_its_share_and_leads_the_claims_by_little) {
  RewardOptions options;  // verified, omega .7
  RewardInput input = answer(3, 3);
  input.reasoning = 0.5;
  EXPECT_DOUBLE_EQ(reasoning_reward(input, options), 0.5);
  input.judge = 0.6;
  EXPECT_NEAR(reasoning_reward(input, options), 0.7 * 0.5 + 0.3 * 0.6, 1e-12);
  input.judge = 1;  // counts as 0.8
  EXPECT_NEAR(reasoning_reward(input, options), 0.7 * 0.5 + 0.3 * 0.8, 1e-12);
  input.judge = 0;
  EXPECT_NEAR(reasoning_reward(input, options), 0.35, 1e-12);
  input.judge = 1;
  EXPECT_DOUBLE_EQ(reasoning_reward(input, faithful()), 1);
  input.judge = 1.01;
  EXPECT_THROW(compute_reward(input, kLater, options), Error);
}

TEST(Reward, a_judge_that_said_nothing_is_neither_zero_nor_nan) {
  const RewardWeights rest = without_reasoning(kLater);  // (.2, .2, .6)
  EXPECT_DOUBLE_EQ(rest.alpha, 0);
  EXPECT_NEAR(rest.beta, 0.25, 1e-12);
  EXPECT_NEAR(rest.gamma, 0.75, 1e-12);
  EXPECT_DOUBLE_EQ(without_reasoning({1, 0, 0}).gamma, 0);
  const auto scores = sure_of(3);
  RewardInput input = answer(3, 3);
  input.crm_scores = scores;
  input.is_judged = true;
  EXPECT_NEAR(compute_reward(input, kLater, faithful()).total, 1, 1e-6);
  input.judge = 0.0;
  EXPECT_NEAR(compute_reward(input, kLater, faithful()).total, 0.8, 1e-6);
  // Without a reasoning there was nothing to judge: -1 keeps its weight.
  input.judge.reset();
  input.has_reasoning = false;
  EXPECT_NEAR(compute_reward(input, kLater, faithful()).total, 0.6, 1e-6);
}

TEST(Reward, usefulness_is_the_gain_over_log_n_between_minus_one_and_one) {
  const struct {
    double gain;
    int64_t n;
    double expected;
  } rows[] = {{0, 20, 0}, {std::log(20.0), 20, 1},   {std::log(2.0), 4, 0.5},
              {9, 20, 1}, {-std::log(3.0), 9, -0.5}, {-9, 20, -1},
              {5, 1, 0}};
  for (const auto& row : rows)
    EXPECT_NEAR(usefulness_reward(row.gain, row.n), row.expected, 1e-12) << row.gain;
  EXPECT_THROW(usefulness_reward(std::numeric_limits<double>::quiet_NaN(), 4), Error);
  EXPECT_THROW(usefulness_reward(-std::numeric_limits<double>::infinity(), 4), Error);
}

TEST(Reward, usefulness_has_its_share_of_the_outcome_below_every_answer) {
  const auto outcome = [](int32_t k, double share, double usefulness, bool valid = true) {
    RewardInput input = answer(k, 3);
    input.semantic = 0.5, input.usefulness = usefulness, input.format_ok = valid;
    RewardOptions options;  // eta .3
    options.usefulness_share = share;
    return compute_reward(input, kLater, options).outcome;
  };
  EXPECT_DOUBLE_EQ(outcome(3, 0.2, 0.5), 0.8 + 0.2 * 0.75);
  EXPECT_DOUBLE_EQ(outcome(7, 0.2, 0.5), 0.8 * 0.15 + 0.2 * 0.75);
  EXPECT_DOUBLE_EQ(outcome(3, 0.2, -1), 0.8);
  EXPECT_DOUBLE_EQ(outcome(7, 0.2, 1, false), 0);
  EXPECT_EQ(outcome(7, 0, 0.5), outcome(7, 0, -1));
  // (1 - W) (1 - eta) - W = .8 * .7 - .2
  EXPECT_NEAR(dominance_gate(kWarmUp, 0.3, 0.2), 0.9 * 0.2 * 0.36 / 0.8, 1e-12);
  EXPECT_THROW(outcome(3, 0.42, 0), Error);  // .7 / 1.7 = .412
  EXPECT_THROW(outcome(3, 0.2, 1.01), Error);
}

TEST(Reward, values_that_are_not_finite_are_errors) {
  RewardInput input = answer(3, 3);
  input.reasoning = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(compute_reward(input, kWarmUp, RewardOptions{}), Error);
  auto scores = sure_of(3);
  scores[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(crm_reward(scores, 3, CrmReward::kFaithful, 0.3), Error);
}

TEST(Reward, refuses_scores_of_another_length_and_targets_outside) {
  auto scores = sure_of(3, 20);
  RewardInput input = answer(3, 3, 25);
  input.crm_scores = scores;
  EXPECT_THROW(compute_reward(input, kWarmUp, RewardOptions{}), Error);
  EXPECT_THROW(compute_reward(answer(3, 0), kWarmUp, RewardOptions{}), Error);
  EXPECT_THROW(compute_reward(answer(3, 26), kWarmUp, RewardOptions{}), Error);
}

TEST(Reward, curricula_follow_the_optimiser_step) {
  EXPECT_DOUBLE_EQ(curriculum_weights({"C0"}, 49, 0).gamma, 0.2);
  EXPECT_DOUBLE_EQ(curriculum_weights({"C0"}, 50, 0).gamma, 0.6);
  EXPECT_DOUBLE_EQ(curriculum_weights({"C1"}, 0, 0).gamma, 0.6);
  Curriculum reversed{"C2", 1500};
  EXPECT_DOUBLE_EQ(curriculum_weights(reversed, 1499, 0).alpha, 0.4);
  EXPECT_DOUBLE_EQ(curriculum_weights(reversed, 2499, 0).alpha, 0.45);
  EXPECT_DOUBLE_EQ(curriculum_weights(reversed, 2500, 0).alpha, 0.5);
  Curriculum cosine{"C3", 50, 1000};
  EXPECT_NEAR(curriculum_weights(cosine, 100, 0).gamma, 0.4, 1e-12);
  EXPECT_NEAR(curriculum_weights(cosine, 900, 0).gamma, 0.6, 1e-12);
  EXPECT_NEAR(curriculum_weights({"C4"}, 0, 0.15).gamma, 0.4, 1e-12);
  EXPECT_NEAR(curriculum_weights({"C4"}, 0, 0.9).gamma, 0.6, 1e-12);
  EXPECT_THROW(curriculum_weights({"C9"}, 0, 0), Error);
}

TEST(Reward, overlong_penalty_grows_over_the_buffer) {
  EXPECT_DOUBLE_EQ(overlong_penalty(448, 512, 128), 0.5);
  EXPECT_DOUBLE_EQ(overlong_penalty(384, 512, 128), 0);
  EXPECT_DOUBLE_EQ(overlong_penalty(9999, 512, 128), 1);
}

TEST(Reward, repeated_share_counts_four_grams) {
  EXPECT_DOUBLE_EQ(repeated_share(std::vector<int64_t>{1, 2, 3}), 0);
  EXPECT_DOUBLE_EQ(repeated_share(std::vector<int64_t>{1, 2, 3, 4, 5}), 0);
  EXPECT_DOUBLE_EQ(repeated_share(std::vector<int64_t>(8, 7)), 0.8);
}

TEST(Reward, is_the_weighted_sum_of_its_components) {
  auto other = sure_of(7);
  for (const RewardOptions& options : {faithful(), RewardOptions{}}) {
    for (const int32_t k : {3, 7}) {
      for (const bool valid : {true, false}) {
        RewardInput input = answer(k, 3);
        input.crm_scores = other;
        input.reasoning = 0.7, input.semantic = 0.4, input.repetition = 0.3;
        input.format_ok = valid;
        const RewardParts parts = compute_reward(input, kWarmUp, options);
        EXPECT_NEAR(parts.total,
                    kWarmUp.gamma * parts.outcome + kWarmUp.beta * parts.gated_crm +
                        kWarmUp.alpha * parts.gated_reasoning - parts.penalties(),
                    1e-12);
      }
    }
  }
}

TEST(Reward, penalties_only_subtract_and_are_bounded) {
  RewardInput input = answer(3, 3);
  double plain = compute_reward(input, kLater, RewardOptions{}).total;
  input.completion_tokens = 100000;
  input.repetition = 1;
  RewardParts parts = compute_reward(input, kLater, RewardOptions{});
  EXPECT_DOUBLE_EQ(parts.length_penalty, 0.2);
  EXPECT_DOUBLE_EQ(parts.repetition_penalty, 0.2);
  EXPECT_NEAR(parts.total, plain - 0.4, 1e-12);
}

TEST(Reward, semantic_closeness_is_centred_over_the_candidates) {
  std::vector<float> similarities{1.f, 0.9f, 0.7f, 0.6f};  // target is candidate 1, mean 0.8
  EXPECT_DOUBLE_EQ(semantic_reward(similarities, 1, 1), 1);
  EXPECT_NEAR(semantic_reward(similarities, 2, 1), 0.5, 1e-5);
  EXPECT_DOUBLE_EQ(semantic_reward(similarities, 4, 1), 0);
  EXPECT_NEAR(rank_reward(1), 1, 1e-12);
  EXPECT_NEAR(rank_reward(2), 0.6309, 1e-4);
}

TEST(Reward, calibration_finds_the_temperature_the_targets_were_drawn_at) {
  Rng rng(3, "calibration");
  const int64_t n = 8, rows = 4000;
  const double temperature = 2.5;
  std::vector<float> scores;
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> p;
    for (int64_t c = 0; c < n; ++c) {
      scores.push_back(static_cast<float>(5 * rng.normal()));
      p.push_back(std::exp(scores.back() / temperature));
    }
    targets.push_back(static_cast<int32_t>(rng.weighted(p)));
  }
  EXPECT_NEAR(calibrate_temperature(scores, n, targets), temperature, 0.15);
}

TEST(Reward, calibration_refuses_what_it_cannot_fit) {
  std::vector<float> flat(6, 1.f);
  std::vector<int32_t> targets{0, 1};
  EXPECT_THROW(calibrate_temperature(flat, 3, targets), Error);
  EXPECT_THROW(calibrate_temperature(flat, 4, targets), Error);
  std::vector<float> scores{1, 2, 3, 4, 5, 6};
  std::vector<int32_t> outside{0, 3};
  EXPECT_THROW(calibrate_temperature(scores, 3, outside), Error);
}

}  // namespace
}  // namespace etrlrec
