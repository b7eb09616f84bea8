// Reward terms and their combination. Knows numbers only: neither texts nor tensors.
#include "train/reward.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <set>

#include "base/check.h"
#include "base/ranks.h"

namespace etrlrec {
namespace {

constexpr RewardWeights kEarly{0.4, 0.4, 0.2};
constexpr RewardWeights kLate{0.2, 0.2, 0.6};
constexpr double kLargestPenalty = 0.2;
constexpr double kToleratedRepetition = 0.2;
constexpr double kJudgeLead = 0.3;  // of a judge over the verified claims
constexpr double kGateMargin = 0.9;

RewardWeights between(const RewardWeights& a, const RewardWeights& b, double share) {
  return {a.alpha + share * (b.alpha - a.alpha), a.beta + share * (b.beta - a.beta),
          a.gamma + share * (b.gamma - a.gamma)};
}

void check_unit(double value, const char* what) {
  CHECK(std::isfinite(value) && value >= 0 && value <= 1, kNumbers,
        "reward: {}: expected a value in [0, 1], found {}", what, value);
}

void check_input(const RewardInput& input, const RewardWeights& weights) {
  CHECK(input.num_candidates > 0, kInput, "reward: expected at least one candidate, found {}",
        input.num_candidates);
  CHECK(input.target >= 1 && input.target <= input.num_candidates, kInput,
        "reward: target: expected 1 to {}, found {}", input.num_candidates, input.target);
  CHECK(input.crm_scores.empty() ||
            input.crm_scores.size() == static_cast<size_t>(input.num_candidates),
        kInput, "reward: recommender scores: expected {}, found {}", input.num_candidates,
        input.crm_scores.size());
  for (double weight : {weights.alpha, weights.beta, weights.gamma})
    CHECK(std::isfinite(weight) && weight >= 0, kUsage,
          "reward weights: expected numbers that are not negative, found {}", weight);
  check_unit(input.reasoning, "reasoning");
  if (input.judge) check_unit(*input.judge, "judge");
  check_unit(input.semantic, "semantic closeness");
  if (input.has_rank) check_unit(input.rank, "rank");
  check_unit(input.repetition, "repetition");
  CHECK(std::isfinite(input.usefulness) && std::abs(input.usefulness) <= 1, kNumbers,
        "reward: usefulness: expected a value in [-1, 1], found {}", input.usefulness);
}

// The negative constants of G.3 (0); 0 where nothing is wrong.
double invalid_crm(const RewardInput& input) {
  if (input.answer == 0) return -1;
  return input.answer < 1 || input.answer > input.num_candidates ? -0.5 : 0;
}

// How far the outcome of right answers is above that of wrong ones at least.
double outcome_margin(double eta, double usefulness_share) {
  return (1 - usefulness_share) * (1 - eta) - usefulness_share;
}

// Mean negative log-likelihood of the targets at inverse temperature b; convex in b.
double mean_nll(std::span<const float> scores, int64_t n, std::span<const int32_t> targets,
                double b) {
  double sum = 0;
  for (size_t r = 0; r < targets.size(); ++r) {
    auto row = scores.subspan(r * n, n);
    double top = *std::max_element(row.begin(), row.end()), total = 0;
    for (float s : row) total += std::exp(b * (s - top));
    sum += std::log(total) - b * (row[targets[r]] - top);
  }
  return sum / static_cast<double>(targets.size());
}

}  // namespace

RewardMode reward_mode_from_name(const std::string& name) {
  if (name == "faithful") return RewardMode::kFaithful;
  if (name == "verified") return RewardMode::kVerified;
  fail(ExitCode::kUsage, "unknown reward mode \"{}\"; known: faithful, verified", name);
}

CrmReward crm_reward_from_name(const std::string& name) {
  if (name == "faithful") return CrmReward::kFaithful;
  if (name == "calibrated") return CrmReward::kCalibrated;
  if (name == "percentile") return CrmReward::kPercentile;
  fail(ExitCode::kUsage,
       "unknown recommender reward \"{}\"; known: faithful, calibrated, percentile", name);
}

void set_reward_mode(RewardOptions& options, const std::string& mode, const std::string& crm) {
  options.mode = reward_mode_from_name(mode);
  if (!crm.empty()) {
    options.crm = crm_reward_from_name(crm);
  } else {
    options.crm =
        options.mode == RewardMode::kFaithful ? CrmReward::kFaithful : CrmReward::kCalibrated;
  }
}

RewardWeights curriculum_weights(const Curriculum& curriculum, int64_t step,
                                 double running_hit_rate) {
  const std::string& name = curriculum.name;
  if (name == "C0") return step < curriculum.switch_step ? kEarly : kLate;
  if (name == "C1") return kLate;
  if (name == "C2") {
    if (step < curriculum.switch_step) return {0.4, 0.3, 0.3};
    if (3 * step < 5 * curriculum.switch_step) return {0.45, 0.3, 0.25};
    return {0.5, 0.3, 0.2};
  }
  if (name == "C3") {
    CHECK(curriculum.total_steps > 0, kUsage,
          "curriculum C3: expected a positive number of steps, found {}", curriculum.total_steps);
    double share = std::min(1.0, static_cast<double>(step) / (0.2 * curriculum.total_steps));
    return between(kEarly, kLate, (1 - std::cos(std::numbers::pi * share)) / 2);
  }
  if (name == "C4") {
    check_unit(running_hit_rate, "hit rate");
    return between(kEarly, kLate, std::min(1.0, running_hit_rate / 0.3));
  }
  fail(ExitCode::kUsage, "unknown curriculum \"{}\"; known: C0, C1, C2, C3, C4", name);
}

double dominance_gate(const RewardWeights& weights, double eta, double usefulness_share) {
  double other = weights.alpha + weights.beta;
  return other <= 0 ? 1
                    : std::min(1.0, kGateMargin * weights.gamma *
                                        outcome_margin(eta, usefulness_share) / other);
}

void check_reward_options(const RewardOptions& options) {
  const double share = options.usefulness_share;
  CHECK(options.eta >= 0 && options.eta < 1, kUsage, "reward: eta: expected [0, 1), found {}",
        options.eta);
  CHECK(share >= 0 && share < 1, kUsage, "reward: usefulness share: expected [0, 1), found {}",
        share);
  if (share == 0) return;
  CHECK(options.mode == RewardMode::kVerified, kUsage,
        "reward: usefulness share: counts in verified mode only, found {}\n"
        "hint: --reward-mode verified, or --usefulness-share 0",
        share);
  CHECK(options.gate == "off" || outcome_margin(options.eta, share) > 0, kUsage,
        "reward: usefulness share: expected less than {:.3g}, so that right answers stay above "
        "wrong ones with eta {}, found {}\nhint: a smaller --usefulness-share or --eta, or "
        "--gate off",
        (1 - options.eta) / (2 - options.eta), options.eta, share);
}

double reasoning_reward(const RewardInput& input, const RewardOptions& options) {
  check_unit(options.judge_share, "judge's share");
  if (!input.judge) return input.reasoning;
  if (options.mode == RewardMode::kFaithful) return *input.judge;
  const double anchored = std::min(*input.judge, input.reasoning + kJudgeLead);
  return input.reasoning + options.judge_share * (anchored - input.reasoning);
}

RewardWeights without_reasoning(const RewardWeights& weights) {
  const double others = weights.beta + weights.gamma;
  if (others <= 0) return {};
  const double factor = 1 + weights.alpha / others;
  return {0, factor * weights.beta, factor * weights.gamma};
}

RewardParts compute_reward(const RewardInput& input, const RewardWeights& given,
                           const RewardOptions& options) {
  check_input(input, given);
  check_reward_options(options);
  bool in_range = input.answer >= 1 && input.answer <= input.num_candidates;
  bool valid = in_range && input.has_reasoning && input.format_ok;
  bool faithful = options.mode == RewardMode::kFaithful;
  bool earns = faithful || valid;  // an invalid completion keeps only the negative constants

  RewardParts parts;
  parts.label = earns && input.answer == input.target ? 1 : 0;
  parts.crm = invalid_crm(input);
  if (earns && in_range && !input.crm_scores.empty())
    parts.crm = crm_reward(input.crm_scores, input.answer, options.crm, options.crm_temperature);
  parts.reasoning = !input.has_reasoning ? -1 : (earns ? reasoning_reward(input, options) : 0);
  const bool is_missing = faithful && input.has_reasoning && input.is_judged && !input.judge;
  if (is_missing) parts.reasoning = 0;
  const RewardWeights weights = is_missing ? without_reasoning(given) : given;
  if (faithful) {
    parts.outcome = parts.label;
    parts.gated_crm = parts.crm, parts.gated_reasoning = parts.reasoning;
    parts.total =
        weights.alpha * parts.reasoning + weights.beta * parts.crm + weights.gamma * parts.label;
    return parts;
  }

  parts.length_penalty =
      kLargestPenalty *
      overlong_penalty(input.completion_tokens, options.max_length, options.length_buffer);
  parts.repetition_penalty =
      std::clamp(input.repetition - kToleratedRepetition, 0.0, kLargestPenalty);
  double kappa_reasoning = 1, kappa_crm = 1;
  if (valid && parts.label == 0) {
    double rank = input.has_rank ? input.rank : input.semantic;
    parts.outcome = options.eta * (input.semantic + rank) / 2;
    double kappa = dominance_gate(weights, options.eta, options.usefulness_share);
    CHECK(options.gate == "on" || options.gate == "off" || options.gate == "reasoning-only", kUsage,
          "unknown gate \"{}\"; known: on, off, reasoning-only", options.gate);
    if (options.gate != "off") kappa_reasoning = kappa;
    if (options.gate == "on") kappa_crm = kappa;
  } else {
    parts.outcome = parts.label;
  }
  if (valid) {
    const double share = options.usefulness_share;
    parts.outcome = (1 - share) * parts.outcome + share * (1 + input.usefulness) / 2;
  }
  parts.gated_crm = kappa_crm * parts.crm;
  parts.gated_reasoning = kappa_reasoning * parts.reasoning;
  parts.total = weights.gamma * parts.outcome + kappa_crm * weights.beta * parts.crm +
                kappa_reasoning * weights.alpha * parts.reasoning - parts.length_penalty -
                parts.repetition_penalty;
  return parts;
}

double crm_reward(std::span<const float> scores, int32_t answer, CrmReward kind,
                  double temperature) {
  CHECK(answer >= 1 && static_cast<size_t>(answer) <= scores.size(), kInput,
        "recommender reward: answer: expected 1 to {}, found {}", scores.size(), answer);
  CHECK(temperature > 0, kUsage,
        "recommender reward: temperature: expected a positive number, found {}", temperature);
  for (float s : scores)
    CHECK(std::isfinite(s), kNumbers, "recommender reward: a score is not finite: {}", s);
  size_t k = static_cast<size_t>(answer) - 1;
  if (kind == CrmReward::kPercentile) {
    if (scores.size() == 1) return 1;
    double n = static_cast<double>(scores.size());
    return (n - mean_rank(scores, static_cast<int64_t>(k))) / (n - 1);
  }
  double top = *std::max_element(scores.begin(), scores.end());
  double own = std::exp((scores[k] - top) / temperature);
  if (kind == CrmReward::kCalibrated) return own;
  double total = 0;
  for (float s : scores) total += std::exp((s - top) / temperature);
  return own / total;
}

double calibrate_temperature(std::span<const float> scores, int64_t n,
                             std::span<const int32_t> targets) {
  CHECK(n >= 2 && !targets.empty() && scores.size() == targets.size() * static_cast<size_t>(n),
        kInput, "calibration: expected {} x {} scores, found {}", targets.size(), n, scores.size());
  double mean = 0, square = 0;
  for (float s : scores) {
    CHECK(std::isfinite(s), kNumbers, "calibration: a score is not finite: {}", s);
    mean += s;
    square += static_cast<double>(s) * s;
  }
  mean /= static_cast<double>(scores.size());
  double spread =
      std::sqrt(std::max(0.0, square / static_cast<double>(scores.size()) - mean * mean));
  CHECK(spread > 0, kInput, "calibration: all {} scores are equal", scores.size());
  for (int32_t t : targets)
    CHECK(t >= 0 && t < n, kInput, "calibration: target: expected 0 to {}, found {}", n - 1, t);

  // Golden section over log(1 / T): unimodal because the likelihood is convex in 1 / T.
  double low = std::log(1e-3 / spread), high = std::log(1e3 / spread);
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  auto value = [&](double x) { return mean_nll(scores, n, targets, std::exp(x)); };
  double left = high - ratio * (high - low), right = low + ratio * (high - low);
  double value_left = value(left), value_right = value(right);
  for (int i = 0; i < 60; ++i) {
    if (value_left <= value_right) {
      high = right, right = left, value_right = value_left;
      left = high - ratio * (high - low), value_left = value(left);
    } else {
      low = left, left = right, value_left = value_right;
      right = low + ratio * (high - low), value_right = value(right);
    }
  }
  return std::exp(-(low + high) / 2);
}

double semantic_reward(std::span<const float> similarities, int32_t answer, int32_t target) {
  auto inside = [&](int32_t k) { return k >= 1 && static_cast<size_t>(k) <= similarities.size(); };
  CHECK(inside(answer) && inside(target), kInput,
        "semantic reward: expected numbers from 1 to {}, found {} and {}", similarities.size(),
        answer, target);
  if (answer == target) return 1;
  double mean = 0;
  for (float s : similarities) mean += s;
  mean /= static_cast<double>(similarities.size());
  double span = similarities[target - 1] - mean;
  CHECK(std::isfinite(span), kNumbers, "semantic reward: a similarity is not finite");
  return span <= 0 ? 0 : std::clamp((similarities[answer - 1] - mean) / span, 0.0, 1.0);
}

double usefulness_reward(double gain, int64_t num_candidates) {
  CHECK(std::isfinite(gain), kNumbers, "usefulness: gain: expected a finite number, found {}",
        gain);
  CHECK(num_candidates >= 1, kInput, "usefulness: expected at least one candidate, found {}",
        num_candidates);
  if (num_candidates == 1) return 0;
  return std::clamp(gain / std::log(static_cast<double>(num_candidates)), -1.0, 1.0);
}

double rank_reward(double rank) {
  CHECK(rank >= 1, kInput, "rank reward: expected a rank of at least 1, found {}", rank);
  return 1 / std::log2(1 + rank);
}

double overlong_penalty(int64_t tokens, int64_t max_length, int64_t buffer) {
  CHECK(buffer > 0 && buffer <= max_length, kUsage,
        "length penalty: expected 0 < buffer <= length, found {} and {}", buffer, max_length);
  double over = static_cast<double>(tokens - (max_length - buffer)) / static_cast<double>(buffer);
  return std::clamp(over, 0.0, 1.0);
}

double repeated_share(std::span<const int64_t> ids) {
  if (ids.size() < 4) return 0;
  std::set<std::array<int64_t, 4>> distinct;
  size_t total = ids.size() - 3;
  for (size_t i = 0; i < total; ++i) distinct.insert({ids[i], ids[i + 1], ids[i + 2], ids[i + 3]});
  return 1 - static_cast<double>(distinct.size()) / static_cast<double>(total);
}

}  // namespace etrlrec
