#include "train/grpo.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "train/completion_values.h"
#include "train/diagnosis.h"
#include "train/policy_forest.h"
#include "train/reference_scope.h"
#include "train/rollout_metrics.h"

namespace etrlrec {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLeastGroupStd = 0.01;  // of dynamic sampling

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

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
at::Tensor sample_weights(const PolicyForest& forest, const PolicyLossOptions& options,
                          const LossScale& scale) {
  std::vector<int64_t> counts(forest.num_samples, forest.num_answers > 0 ? 1 : 0);
  for (int64_t row : forest.rows) ++counts[row];
  return row_weights(at::tensor(counts), options, scale);
}

// Those that sample_weights counts.
double loss_tokens(const GrpoObjective::Batch& batch, const GrpoOptions& options) {
  int64_t tokens = 0;
  for (const PolicySample& sample : samples_of(batch, options))
    tokens += sample.sampled + (sample.answer >= 0 ? 1 : 0);
  return static_cast<double>(tokens);
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

// Rollouts point to the completions, wherever these have been moved to.
void link_rollouts(GrpoObjective::Batch& batch, int64_t group) {
  batch.rollouts.clear();
  for (size_t i = 0; i < batch.completions.size(); ++i)
    batch.rollouts.push_back(
        {batch.rows[i / group]->id, static_cast<int64_t>(i) % group, &batch.completions[i]});
}

void move_group(GrpoObjective::Batch& from, size_t g, int64_t group, GrpoObjective::Batch& to) {
  to.rows.push_back(from.rows[g]);
  for (size_t i = g * group; i < (g + 1) * group; ++i) {
    to.completions.push_back(std::move(from.completions[i]));
    to.scored.push_back(std::move(from.scored[i]));
    to.rewards.push_back(from.rewards[i]);
  }
}

at::Tensor reward_table(const GrpoObjective::Batch& batch) {
  std::vector<double> flat;
  for (const ScoredCompletion& s : batch.scored)
    flat.insert(flat.end(), s.reward_by_answer.begin(), s.reward_by_answer.end());
  return at::tensor(flat).view({static_cast<int64_t>(batch.scored.size()), -1});  // [R, n]
}

void check_name(const std::string& what, const std::string& name,
                std::initializer_list<const char*> known) {
  CHECK(std::find(known.begin(), known.end(), name) != known.end(), kUsage,
        "unknown {} \"{}\"; known: {}", what, name, fmt::join(known, ", "));
}

}  // namespace

void check_grpo_options(const GrpoOptions& options) {
  const PolicyLossOptions& policy = options.policy;
  CHECK(options.num_generations > 0, kUsage, "num_generations: expected a positive number");
  check_name("advantage", options.advantage, {"group", "batch", "mean", "rloo", "gdpo"});
  check_name("loss type", policy.loss_type, {"grpo", "dapo", "bnpo", "dr_grpo", "sum", "cispo"});
  check_name("importance sampling level", policy.importance_sampling_level, {"token", "sequence"});
  CHECK(policy.loss_type != "cispo" || policy.importance_sampling_level == "token", kUsage,
        "loss type cispo: weighs every token by its own ratio\nhint: --importance-sampling-level "
        "token, or another --loss-type");
  CHECK(policy.epsilon >= 0 && policy.epsilon <= 1 && policy.epsilon_high >= 0, kUsage,
        "epsilon, epsilon_high: expected [0, 1] and at least 0, found {} and {}", policy.epsilon,
        policy.epsilon_high);
  if (!options.dynamic_sampling) return;
  CHECK(options.num_generations > 1, kUsage,
        "dynamic sampling: a group of one completion never differs\nhint: --num-generations 8, or "
        "--no-dynamic-sampling");
  CHECK(!options.exact_answer_expectation || options.format.max_reasoning_tokens > 0, kUsage,
        "dynamic sampling: without reasoning all completions of a prompt have the same exact "
        "expectation\nhint: --no-rb or --no-dynamic-sampling");
}

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
  check_grpo_options(options_);
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
  link_rollouts(batch, options_.num_generations);
  batch.scored = reward_(batch.rollouts, step);
  check_scores(batch.scored, batch, options_.num_generations);
  for (size_t i = 0; i < batch.scored.size(); ++i)
    batch.rewards.push_back(batch.rows[i / options_.num_generations]->answers.empty()
                                ? batch.scored[i].reward
                                : batch.scored[i].reward_by_answer[batch.completions[i].answer]);
  return batch;
}

std::vector<GrpoObjective::StepPart> GrpoObjective::plan_step(
    std::span<const Batch* const> batches, std::span<const double> shares) const {
  const int64_t group = options_.num_generations;
  const bool exact = options_.exact_answer_expectation;
  std::vector<StepPart> parts(batches.size());
  std::vector<double> values;
  double rows = 0, tokens = 0;
  for (size_t b = 0; b < batches.size(); ++b) {
    parts[b].values = values_of(*batches[b], exact);
    values.insert(values.end(), parts[b].values.begin(), parts[b].values.end());
    rows += static_cast<double>(batches[b]->completions.size());
    tokens += loss_tokens(*batches[b], options_);
  }
  const std::vector<double> advantages =
      options_.advantage == "gdpo"
          ? component_advantages(components_of(batches, exact), group, options_.std_floor)
          : group_advantages(values, group, options_.advantage, options_.std_floor);
  auto next = advantages.begin();
  for (size_t b = 0; b < batches.size(); ++b) {
    const auto end = next + std::ssize(parts[b].values);
    parts[b].advantages.assign(next, end);
    next = end;
    if (options_.pass_at_k > 0 && !exact) add_pass_at_k_bonus(*batches[b], parts[b].advantages);
    parts[b].scale = {rows * shares[b], tokens * shares[b]};
  }
  return parts;
}

std::vector<Finding> GrpoObjective::review(std::span<const LogEntry> logs) const {
  // Validations are logs, too.
  std::vector<LogEntry> trained;
  for (const LogEntry& log : logs)
    if (log.values.contains("train/reward")) trained.push_back(log);
  return diagnose(trained, {.num_generations = options_.num_generations,
                            .has_reasoning = rows_.front().answers.empty() ||
                                             options_.format.max_reasoning_tokens > 0,
                            .exact = options_.exact_answer_expectation});
}

void GrpoObjective::begin_step(std::span<const MicroBatch> micro_batches, int64_t step) {
  prepared_.clear();
  double rows = 0;
  for (const MicroBatch& part : micro_batches) {
    const Clock::time_point begin = Clock::now();
    Rng rng = part.rng;
    Prepared& prepared = prepared_.emplace_back();
    prepared.batch = roll_out(part.rows, step, rng.next());
    prepared.metrics["rollout_time"] = seconds_since(begin);
    rows += static_cast<double>(part.rows.size());
  }
  if (options_.dynamic_sampling) sample_dynamically(micro_batches, step);
  std::vector<const Batch*> batches;
  std::vector<double> shares;
  for (size_t b = 0; b < prepared_.size(); ++b) {
    batches.push_back(&prepared_[b].batch);
    shares.push_back(static_cast<double>(micro_batches[b].rows.size()) / rows);
  }
  std::vector<StepPart> parts = plan_step(batches, shares);
  for (size_t b = 0; b < prepared_.size(); ++b) prepared_[b].part = std::move(parts[b]);
}

// A micro-batch that nothing is left for keeps its first group, which moves no reasoning.
void GrpoObjective::sample_dynamically(std::span<const MicroBatch> asked, int64_t step) {
  const int64_t group = options_.num_generations;
  const auto differs = [&](const Batch& batch) {
    return group_stds(values_of(batch, options_.exact_answer_expectation), group);
  };
  std::set<int64_t> used;
  int64_t prompts = 0, missing = 0, refilled = 0;
  std::vector<Batch> kept(prepared_.size());
  for (size_t b = 0; b < kept.size(); ++b) {
    const std::vector<double> stds = differs(prepared_[b].batch);
    for (size_t g = 0; g < stds.size(); ++g)
      if (stds[g] >= kLeastGroupStd) move_group(prepared_[b].batch, g, group, kept[b]);
    used.insert(asked[b].rows.begin(), asked[b].rows.end());
    prompts += std::ssize(stds);
    missing += std::ssize(stds) - std::ssize(kept[b].rows);
  }
  const int64_t dropped = missing;
  const int64_t all = num_rows();
  Rng first = asked.front().rng;
  Rng rng(first.next(), "refill", static_cast<uint64_t>(step));
  for (int64_t budget = std::min(prompts / 2, all - std::ssize(used)); missing > 0 && budget > 0;) {
    std::vector<int64_t> drawn;
    const int64_t count = std::min({missing, budget, std::ssize(asked.front().rows)});
    while (std::ssize(drawn) < count) {
      const auto row = static_cast<int64_t>(rng.below(static_cast<uint64_t>(all)));
      if (used.insert(row).second) drawn.push_back(row);
    }
    budget -= count;
    Batch more = roll_out(drawn, step, rng.next());
    const std::vector<double> stds = differs(more);
    for (size_t g = 0, b = 0; g < stds.size(); ++g) {
      if (stds[g] < kLeastGroupStd) continue;
      while (kept[b].rows.size() == asked[b].rows.size()) ++b;
      move_group(more, g, group, kept[b]);
      ++refilled, --missing;
    }
  }
  for (size_t b = 0; b < kept.size(); ++b) {
    if (kept[b].rows.empty()) move_group(prepared_[b].batch, 0, group, kept[b]);
    prepared_[b].batch = std::move(kept[b]);
    link_rollouts(prepared_[b].batch, group);
    const auto all_prompts = static_cast<double>(prompts);
    prepared_[b].metrics["dynamic_sampling/dropped"] = static_cast<double>(dropped) / all_prompts;
    prepared_[b].metrics["dynamic_sampling/refilled"] = static_cast<double>(refilled) / all_prompts;
  }
}

LossOutput GrpoObjective::batch_loss(const Batch& batch, int64_t step, const TrainingNoise& noise) {
  const Batch* const whole = &batch;
  const double share = 1;
  return batch_loss(batch, plan_step({&whole, 1}, {&share, 1}).front(), step, noise);
}

LossOutput GrpoObjective::batch_loss(const Batch& batch, const StepPart& part, int64_t step,
                                     const TrainingNoise& noise) {
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

  if (log_) log_(step, batch.rollouts, batch.scored, part.values, part.advantages);

  const at::Tensor weights = sample_weights(forest, options_.policy, part.scale);  // [R]
  PackedTokens tokens{policy.logprobs, reference.logprobs, at::tensor(forest.rows)};
  if (forest.num_answers > 0 && !options_.exact_answer_expectation)
    append_answers(tokens, policy, reference, samples);
  const PolicyLoss loss =
      policy_loss(tokens.logprobs, {}, tokens.reference, tokens.rows,
                  at::tensor(part.advantages).to(at::kFloat), options_.policy, weights);
  LossOutput output;
  output.loss = loss.loss;
  if (options_.exact_answer_expectation) {
    at::Tensor value = answer_objective(policy.answer_logprobs, reference.answer_logprobs,
                                        reward_table(batch), batch);
    output.loss = output.loss - (value * weights).sum();
    output.metrics["reward_expected"] =
        std::accumulate(part.values.begin(), part.values.end(), 0.0) /
        static_cast<double>(part.values.size());
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
  output.metrics["frac_reward_zero_std"] = zero_variance_share(part.values, group, 1e-6);
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
  const MicroBatch alone{rows, rng};
  if (prepared_.empty()) begin_step({&alone, 1}, step);
  const Prepared prepared = std::move(prepared_.front());
  prepared_.pop_front();
  const Clock::time_point begin = Clock::now();
  rng.next();  // the rollouts'
  TrainingNoise noise;
  if (model_.lora().lora_dropout > 0) noise = {true, rng.next()};
  LossOutput output = batch_loss(prepared.batch, prepared.part, step, noise);
  for (const Completion& c : prepared.batch.completions)
    output.tokens += static_cast<int64_t>(c.ids.size());
  output.metrics.insert(prepared.metrics.begin(), prepared.metrics.end());
  output.metrics["step_time"] = prepared.metrics.at("rollout_time") + seconds_since(begin);
  return output;
}

}  // namespace etrlrec
