#include "train/grpo.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "train/policy_forest.h"

namespace etrlrec {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// Adapters off while it lives, when the reference is the policy itself.
class ReferenceScope {
 public:
  ReferenceScope(LanguageModel& model, const LanguageModel& reference)
      : model_(model), switched_(&model == &reference) {
    if (switched_) model_.adapters().set_enabled(false);
  }
  ReferenceScope(const ReferenceScope&) = delete;
  ~ReferenceScope() {
    if (switched_) model_.adapters().set_enabled(true);
  }

 private:
  LanguageModel& model_;
  bool switched_;
};

PolicySample sample_of(const Completion& completion, int64_t prompt, const GrpoRow& row,
                       const GrpoOptions& options) {
  PolicySample sample;
  sample.prompt = prompt;
  sample.answer = completion.answer;
  int64_t size = static_cast<int64_t>(completion.ids.size());
  if (!row.answers.empty()) {
    size = completion.reasoning_tokens + static_cast<int64_t>(options.format.close.size());
    CHECK(size <= static_cast<int64_t>(completion.ids.size()) && completion.answer >= 0, kFailure,
          "rollout: {} tokens do not hold a reasoning of {} and an answer", completion.ids.size(),
          completion.reasoning_tokens);
  }
  sample.tokens.assign(completion.ids.begin(), completion.ids.begin() + size);
  sample.sampled =
      completion.forced_close && !row.answers.empty() ? completion.reasoning_tokens : size;
  if (completion.forced_close && options.mask_truncated_completions) sample.sampled = 0;
  if (options.lambda_format != 0 && !row.answers.empty()) sample.finish = options.format.finish;
  return sample;
}

std::vector<PolicySample> samples_of(const GrpoObjective::Batch& batch,
                                     const GrpoOptions& options) {
  std::vector<PolicySample> samples;
  for (size_t i = 0; i < batch.completions.size(); ++i) {
    int64_t prompt = static_cast<int64_t>(i) / options.num_generations;
    samples.push_back(sample_of(batch.completions[i], prompt, *batch.rows[prompt], options));
  }
  return samples;
}

PolicyForest plant(const LanguageModel& model, const GrpoObjective::Batch& batch,
                   std::span<const PolicySample> samples) {
  std::vector<std::vector<int64_t>> prompts;
  std::vector<std::vector<std::vector<int64_t>>> answers;
  for (const GrpoRow* row : batch.rows) {
    prompts.push_back(row->prompt);
    answers.push_back(row->answers);
  }
  return build_policy_forest(model, prompts, answers, samples);
}

// The answer counts as one more token of its row, sampled or by its exact expectation.
at::Tensor sample_weights(const PolicyForest& forest, const PolicyLossOptions& options) {
  std::vector<int64_t> counts(forest.num_samples, forest.num_answers > 0 ? 1 : 0);
  for (int64_t row : forest.rows) ++counts[row];
  return row_weights(at::tensor(counts), options);
}

struct PackedTokens {
  at::Tensor logprobs, reference, rows;
};

void append_answers(PackedTokens& tokens, const PolicyOutput& policy, const PolicyOutput& reference,
                    std::span<const PolicySample> samples) {
  std::vector<int64_t> chosen;
  for (const PolicySample& sample : samples) chosen.push_back(sample.answer);
  at::Tensor index = at::tensor(chosen).unsqueeze(1);
  auto append = [&](const at::Tensor& before, const at::Tensor& answer_logprobs) {
    return at::cat({before, answer_logprobs.gather(1, index).squeeze(1)});
  };
  tokens.logprobs = append(tokens.logprobs, policy.answer_logprobs);
  if (tokens.reference.defined())
    tokens.reference = append(tokens.reference, reference.answer_logprobs);
  tokens.rows = at::cat({tokens.rows, at::arange(index.size(0), at::kLong)});
}

void add_policy_metrics(const PolicyLoss& loss, const PolicyOutput& policy, bool has_reference,
                        std::map<std::string, double>& metrics) {
  metrics["clip_ratio/region_mean"] = loss.clip_ratio;
  metrics["clip_ratio/low_mean"] = loss.clip_low;
  metrics["clip_ratio/high_mean"] = loss.clip_high;
  metrics["importance_ratio"] = loss.mean_ratio;
  if (policy.entropy.numel() > 0)
    metrics["entropy"] = policy.entropy.to(at::kDouble).mean().item<double>();
  if (has_reference) metrics["kl"] = loss.kl;
}

void check_scores(const std::vector<ScoredCompletion>& scored, const GrpoObjective::Batch& batch,
                  int64_t group) {
  CHECK(scored.size() == batch.completions.size(), kFailure,
        "reward function: expected {} results, found {}", batch.completions.size(), scored.size());
  for (size_t i = 0; i < scored.size(); ++i) {
    size_t answers = batch.rows[i / group]->answers.size();
    CHECK(scored[i].reward_by_answer.size() == answers, kFailure,
          "reward function: expected {} rewards by answer, found {}", answers,
          scored[i].reward_by_answer.size());
    for (double r : scored[i].reward_by_answer)
      CHECK(std::isfinite(r), kNumbers, "reward of completion {} is not finite: {}", i, r);
    CHECK(std::isfinite(scored[i].reward), kNumbers, "reward of completion {} is not finite", i);
  }
}

// V_i = sum_k p_i(k) r_i(k), from probabilities [R, n] without gradient.
std::vector<double> expected_rewards(const at::Tensor& probabilities, const at::Tensor& rewards) {
  at::Tensor v = (probabilities.to(at::kDouble) * rewards.to(at::kDouble)).sum(-1).contiguous();
  return {v.data_ptr<double>(), v.data_ptr<double>() + v.numel()};
}

at::Tensor reward_table(const GrpoObjective::Batch& batch) {
  std::vector<double> flat;
  for (const ScoredCompletion& s : batch.scored)
    flat.insert(flat.end(), s.reward_by_answer.begin(), s.reward_by_answer.end());
  return at::tensor(flat).view({static_cast<int64_t>(batch.scored.size()), -1});  // [R, n]
}

double unique_ratio(const GrpoObjective::Batch& batch, int64_t group) {
  int64_t distinct = 0;
  for (size_t begin = 0; begin < batch.completions.size(); begin += group) {
    std::set<std::vector<int64_t>> seen;
    for (int64_t i = 0; i < group; ++i) seen.insert(batch.completions[begin + i].ids);
    distinct += static_cast<int64_t>(seen.size());
  }
  return static_cast<double>(distinct) / static_cast<double>(batch.completions.size());
}

void add_reward_metrics(const GrpoObjective::Batch& batch, int64_t group,
                        std::map<std::string, double>& metrics) {
  metrics["reward"] = mean(batch.rewards);
  metrics["reward_std"] = mean_group_std(batch.rewards, group);
  std::map<std::string, std::vector<double>> parts;
  double valid = 0;
  std::map<std::string, double> reasons;
  for (const ScoredCompletion& s : batch.scored) {
    for (const auto& [name, value] : s.parts) parts[name].push_back(value);
    valid += s.invalid.empty();
    if (!s.invalid.empty()) ++reasons["invalid/" + s.invalid];
  }
  double count = static_cast<double>(batch.scored.size());
  for (const auto& [name, values] : parts) {
    double m = mean(values), square = 0;
    for (double v : values) square += (v - m) * (v - m);
    metrics["rewards/" + name + "/mean"] = m;
    metrics["rewards/" + name + "/std"] = std::sqrt(square / static_cast<double>(values.size()));
  }
  for (const auto& [name, number] : reasons) metrics[name] = number / count;
  metrics["valid_ratio"] = valid / count;
  metrics["unique_ratio"] = unique_ratio(batch, group);
}

void add_completion_metrics(const GrpoObjective::Batch& batch,
                            std::map<std::string, double>& metrics) {
  double total = 0, shortest = 1e18, longest = 0, clipped = 0;
  for (const Completion& c : batch.completions) {
    double length = static_cast<double>(c.ids.size());
    total += length;
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
    clipped += c.forced_close;
  }
  double count = static_cast<double>(batch.completions.size());
  metrics["completions/mean_length"] = total / count;
  metrics["completions/min_length"] = shortest;
  metrics["completions/max_length"] = longest;
  metrics["completions/clipped_ratio"] = clipped / count;
}

// Largest distance between the rollout's and the trainer's log-probability of a sampled token.
double logprob_gap(const GrpoObjective::Batch& batch, const PolicyForest& forest,
                   const at::Tensor& logprobs) {
  at::Tensor values = logprobs.detach().to(at::kFloat).contiguous();
  const float* found = values.data_ptr<float>();
  double gap = 0;
  int64_t offset = 0;
  for (size_t t = 0; t < forest.rows.size(); ++t) {
    offset = t > 0 && forest.rows[t] == forest.rows[t - 1] ? offset + 1 : 0;
    gap = std::max<double>(gap,
                           std::abs(found[t] - batch.completions[forest.rows[t]].logprobs[offset]));
  }
  return gap;
}

}  // namespace

GrpoObjective::GrpoObjective(LanguageModel& model, LanguageModel* reference,
                             std::vector<GrpoRow> rows, GrpoOptions options, RewardFn reward,
                             RolloutLog log)
    : model_(model),
      reference_(reference),
      rows_(std::move(rows)),
      options_(std::move(options)),
      reward_(std::move(reward)),
      log_(std::move(log)) {
  CHECK(!rows_.empty(), kInput, "GRPO: no rows");
  CHECK(options_.num_generations > 0, kUsage, "num_generations: expected a positive number");
  CHECK(options_.policy.beta == 0 || reference_ != nullptr, kUsage,
        "beta {}: expected a reference model", options_.policy.beta);
  for (const GrpoRow& row : rows_)
    CHECK(!options_.exact_answer_expectation || !row.answers.empty(), kUsage,
          "the exact answer expectation needs rows with answers");
}

GrpoObjective::Batch GrpoObjective::roll_out(std::span<const int64_t> rows, int64_t step,
                                             uint64_t seed) const {
  at::NoGradGuard no_grad;
  Batch batch;
  std::vector<GenerationRequest> requests;
  for (int64_t r : rows) {
    batch.rows.push_back(&rows_.at(r));
    requests.push_back({rows_[r].prompt, rows_[r].answers});
  }
  GenerationOptions generation;
  generation.sampling.temperature = options_.temperature;
  generation.sampling.top_p = options_.top_p;
  generation.sampling.seed = seed;
  generation.format = options_.format;
  generation.completions_per_prompt = options_.num_generations;
  generation.max_new_tokens = options_.max_new_tokens;
  if (options_.eos_id >= 0) generation.eos_ids = {options_.eos_id};
  batch.completions = generate(model_, requests, generation);
  for (size_t i = 0; i < batch.completions.size(); ++i)
    batch.rollouts.push_back({batch.rows[i / options_.num_generations]->id,
                              static_cast<int64_t>(i) % options_.num_generations,
                              &batch.completions[i]});
  batch.scored = reward_(batch.rollouts, step);
  check_scores(batch.scored, batch, options_.num_generations);
  for (size_t i = 0; i < batch.scored.size(); ++i)
    batch.rewards.push_back(batch.rows[i / options_.num_generations]->answers.empty()
                                ? batch.scored[i].reward
                                : batch.scored[i].reward_by_answer[batch.completions[i].answer]);
  return batch;
}

LossOutput GrpoObjective::batch_loss(const Batch& batch, int64_t step, const TrainingNoise& noise) {
  const int64_t group = options_.num_generations;
  const std::vector<PolicySample> samples = samples_of(batch, options_);
  const PolicyForest forest = plant(model_, batch, samples);
  std::optional<NoiseScope> scope;
  if (noise.enabled) scope.emplace(model_, noise);
  const PolicyOutput policy = evaluate_policy(model_, forest, true);
  scope.reset();
  PolicyOutput reference;
  if (options_.policy.beta != 0) {
    at::NoGradGuard no_grad;
    const ReferenceScope off(model_, *reference_);
    reference = evaluate_policy(*reference_, forest, false);
  }

  std::vector<double> rewards = batch.rewards;
  at::Tensor table;  // [R, n]
  if (options_.exact_answer_expectation) {
    table = reward_table(batch);
    rewards = expected_rewards(policy.answer_logprobs.detach().exp(), table);
  }
  std::vector<double> advantages =
      group_advantages(rewards, group, options_.advantage, options_.std_floor);
  if (options_.pass_at_k > 0 && !options_.exact_answer_expectation)
    add_pass_at_k_bonus(batch, advantages);
  if (log_) log_(step, batch.rollouts, batch.scored, rewards, advantages);

  const at::Tensor weights = sample_weights(forest, options_.policy);  // [R]
  PackedTokens tokens{policy.logprobs, reference.logprobs, at::tensor(forest.rows)};
  if (forest.num_answers > 0 && !options_.exact_answer_expectation)
    append_answers(tokens, policy, reference, samples);
  const PolicyLoss loss =
      policy_loss(tokens.logprobs, {}, tokens.reference, tokens.rows,
                  at::tensor(advantages).to(at::kFloat), options_.policy, weights);
  LossOutput output;
  output.loss = loss.loss;
  if (options_.exact_answer_expectation) {
    at::Tensor value =
        answer_objective(policy.answer_logprobs, reference.answer_logprobs, table, batch);
    output.loss = output.loss - (value * weights).sum();
    output.metrics["reward_expected"] = mean(rewards);
  }
  if (policy.contract_logprobs.defined()) {
    output.loss = output.loss - options_.lambda_format * (policy.contract_logprobs * weights).sum();
    output.metrics["answer/contract_nll"] =
        -policy.contract_logprobs.detach().mean().item<double>();
  }
  output.tokens = forest.forest.num_tokens() + forest.forest.num_source_tokens();
  add_reward_metrics(batch, group, output.metrics);
  add_completion_metrics(batch, output.metrics);
  add_policy_metrics(loss, policy, tokens.reference.defined(), output.metrics);
  output.metrics["frac_reward_zero_std"] = zero_variance_share(rewards, group);
  output.metrics["logprob_gap"] = logprob_gap(batch, forest, policy.logprobs);
  if (forest.num_answers > 0)
    add_answer_metrics(batch, policy.answer_logprobs.detach(), output.metrics);
  return output;
}

// sum_k p_i(k) r_i(k) + lambda_ce log p_i(k*) - beta KL(p_i || reference_i), [R].
at::Tensor GrpoObjective::answer_objective(const at::Tensor& logprobs, const at::Tensor& reference,
                                           const at::Tensor& rewards, const Batch& batch) const {
  at::Tensor p = logprobs.exp();
  at::Tensor value = (p * rewards.to(p.scalar_type())).sum(-1);
  if (reference.defined())
    value = value - options_.policy.beta * (p * (logprobs - reference)).sum(-1);
  if (options_.lambda_ce != 0) {
    std::vector<int64_t> targets;
    for (size_t i = 0; i < batch.completions.size(); ++i) {
      int32_t target = batch.rows[i / options_.num_generations]->target;
      CHECK(target >= 0 && target < logprobs.size(1), kInput,
            "lambda_ce: row {} has no target among its answers",
            batch.rows[i / options_.num_generations]->id);
      targets.push_back(target);
    }
    value = value +
            options_.lambda_ce * logprobs.gather(1, at::tensor(targets).unsqueeze(1)).squeeze(1);
  }
  return value;
}

void GrpoObjective::add_pass_at_k_bonus(const Batch& batch, std::vector<double>& advantages) const {
  const int64_t group = options_.num_generations;
  for (size_t r = 0; r < batch.rows.size(); ++r) {
    auto is_hit = [&](int64_t i) {
      return batch.rows[r]->target >= 0 &&
             batch.completions[r * group + i].answer == batch.rows[r]->target;
    };
    int64_t hits = 0;
    for (int64_t i = 0; i < group; ++i) hits += is_hit(i);
    PassAtKBonus bonus = pass_at_k_bonus(group, hits, options_.pass_at_k);
    for (int64_t i = 0; i < group; ++i)
      advantages[r * group + i] += is_hit(i) ? bonus.hit : bonus.miss;
  }
}

void GrpoObjective::add_answer_metrics(const Batch& batch, const at::Tensor& logprobs,
                                       std::map<std::string, double>& metrics) const {
  at::Tensor p = logprobs.exp();
  metrics["answer/entropy"] = -(p * logprobs).sum(-1).mean().item<double>();
  double hits = 0, likelihood = 0, known = 0;
  for (size_t i = 0; i < batch.completions.size(); ++i) {
    int32_t target = batch.rows[i / options_.num_generations]->target;
    if (target < 0) continue;
    ++known;
    hits += batch.completions[i].answer == target;
    likelihood += p[static_cast<int64_t>(i)][target].item<double>();
  }
  if (known == 0) return;
  metrics["answer/hit_rate"] = hits / known;
  metrics["answer/target_probability"] = likelihood / known;
}

LossOutput GrpoObjective::loss(std::span<const int64_t> rows, int64_t step, Rng& rng) {
  Clock::time_point begin = Clock::now();
  Batch batch = roll_out(rows, step, rng.next());
  double rollout = seconds_since(begin);
  TrainingNoise noise;
  if (model_.lora().lora_dropout > 0) noise = {true, rng.next()};
  LossOutput output = batch_loss(batch, step, noise);
  for (const Completion& c : batch.completions) output.tokens += static_cast<int64_t>(c.ids.size());
  output.metrics["rollout_time"] = rollout;
  output.metrics["step_time"] = seconds_since(begin);
  return output;
}

}  // namespace etrlrec
