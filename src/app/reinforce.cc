// etrlrec reinforce: GRPO with the composed reward, from the distilled model.
#include <cmath>
#include <limits>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/fit.h"
#include "method/model_folder.h"
#include "method/recommendation_reward.h"
#include "method/stages.h"
#include "method/study.h"
#include "models/llm_adapters.h"
#include "temporal/encoding.h"

namespace etrlrec {
namespace {

constexpr int64_t kCalibrationRows = 2000;

// Rows the recommender must not reward: it has learned from them or from later events (method.md
// G.3 (3)).
struct Holdout {
  int64_t after = std::numeric_limits<int64_t>::min();  // only rows with a later request time
  int64_t dropped = 0;
};

std::vector<GrpoRow> make_rows(const ReinforceOptions& options, const Workspace& workspace,
                               const CandidateSet& set, const LoadedModel& model,
                               const AnswerEncoding& encoding, Holdout& holdout) {
  std::vector<GrpoRow> rows;
  const auto total = static_cast<int64_t>(set.rows.size());
  for (int64_t r = 0; r < total; ++r) {
    if (options.limit > 0 && static_cast<int64_t>(rows.size()) >= options.limit) break;
    if (is_distillation_row(options.trainer.seed, r, options.sft_share)) continue;
    const Request request = make_request(workspace.dataset, set, r, model.card.prompt.max_history);
    if (request.now <= holdout.after) {
      ++holdout.dropped;
      continue;
    }
    GrpoRow& row = rows.emplace_back();
    row.id = r;
    row.prompt =
        model.encode(student_prompt(workspace.dataset.catalogue, request, model.card.prompt));
    row.answers = encoding.answers;
    row.target = request.target_slot;
  }
  CHECK(!rows.empty() || holdout.dropped == 0, kInput,
        "reinforce: the recommender has learned from all {} prompts or from later events\n"
        "hint: one fitted with --train-share 0.5, or no --recommender",
        holdout.dropped);
  CHECK(!rows.empty(), kInput, "reinforce: no training rows are left by --sft-share {}",
        options.sft_share);
  return rows;
}

// The first completions of a logged step, with their rewards, to samples/step-<n>.jsonl. A repeated
// step replaces them.
class SampleWriter {
 public:
  SampleWriter(const ReinforceOptions& options, const Workspace& workspace,
               const Tokenizer& tokenizer)
      : options_(options), workspace_(workspace), tokenizer_(tokenizer) {}

  void operator()(int64_t step, std::span<const Rollout> rollouts,
                  std::span<const ScoredCompletion> scored, std::span<const double> rewards,
                  std::span<const double> advantages) {
    if (options_.samples <= 0 || step % options_.trainer.logging_steps != 0 || step == last_step_)
      return;
    last_step_ = step;
    std::string lines;
    const auto count = std::min(static_cast<size_t>(options_.samples), rollouts.size());
    for (size_t i = 0; i < count; ++i)
      lines += sample(rollouts[i], scored[i], rewards[i], advantages[i])
                   .dump(-1, ' ', false, OrderedJson::error_handler_t::replace) +
               "\n";
    fs::create_directories(fs::path(options_.out) / "samples");
    write_file_atomic(fs::path(options_.out) / "samples" / fmt::format("step-{}.jsonl", step),
                      lines);
  }

 private:
  OrderedJson sample(const Rollout& rollout, const ScoredCompletion& scored, double reward,
                     double advantage) const {
    OrderedJson parts = OrderedJson::object();
    for (const auto& [name, value] : scored.parts) parts[name] = value;
    OrderedJson json = {{"row", rollout.id},
                        {"completion", tokenizer_.decode(rollout.output->ids)},
                        {"answer", rollout.output->answer + 1},
                        {"reward", reward},
                        {"advantage", advantage},
                        {"parts", parts}};
    if (!scored.invalid.empty()) json["invalid"] = scored.invalid;
    return json;
  }

  const ReinforceOptions& options_;
  const Workspace& workspace_;
  const Tokenizer& tokenizer_;
  int64_t last_step_ = -1;
};

GrpoOptions grpo_options(const ReinforceOptions& options, const LoadedModel& model,
                         const AnswerEncoding& encoding) {
  GrpoOptions grpo = options.grpo;
  grpo.format.close = encoding.close;
  grpo.format.finish = encoding.finish;
  grpo.format.max_reasoning_tokens =
      model.card.prompt.reasoning ? model.card.max_reasoning_tokens : 0;
  grpo.eos_id = model.tokenizer->eos_id();
  if (grpo.policy.max_completion_length <= 0)
    grpo.policy.max_completion_length = std::max<int64_t>(
        1, grpo.format.max_reasoning_tokens + static_cast<int64_t>(encoding.close.size()));
  return grpo;
}

RewardSetup reward_setup(const ReinforceOptions& options, const LoadedModel& model,
                         const GrpoOptions& grpo, const Recommender* recommender,
                         const Workspace& workspace, int64_t total_steps) {
  RewardSetup setup;
  setup.reward = options.reward;
  setup.curriculum = options.curriculum;
  setup.curriculum.total_steps = total_steps;
  setup.fixed_weights = options.reward_weights;
  setup.rank_credit = options.rank_credit;
  setup.prompt = model.card.prompt;
  const auto around = static_cast<int64_t>(grpo.format.close.size() + grpo.format.finish.size());
  setup.reward.max_length = options.length_limit > 0
                                ? options.length_limit
                                : std::max<int64_t>(4, grpo.format.max_reasoning_tokens + around);
  setup.reward.length_buffer = std::max<int64_t>(1, setup.reward.max_length / 4);
  if (recommender != nullptr && setup.reward.crm == CrmReward::kCalibrated) {
    setup.reward.crm_temperature = calibrate_recommender(*recommender, workspace, kCalibrationRows);
    log_info("reinforce: recommender temperature {:.4g} (calibrated on validation rows)",
             setup.reward.crm_temperature);
  }
  return setup;
}

// Rolls out and scores some prompts with the first step's weights; prints what the reward says.
void print_rewards(const GrpoObjective& objective, const ReinforceOptions& options,
                   const Tokenizer& tokenizer) {
  const auto rows = spread_rows(objective.num_rows(), options.check_rewards);
  const GrpoObjective::Batch batch = objective.roll_out(rows, 0, options.trainer.seed);
  std::map<std::string, double> sums;
  double valid = 0, reward = 0;
  for (size_t i = 0; i < batch.scored.size(); ++i) {
    for (const auto& [name, value] : batch.scored[i].parts) sums[name] += value;
    valid += batch.scored[i].invalid.empty();
    reward += batch.rewards[i];
  }
  const auto count = static_cast<double>(batch.scored.size());
  fmt::print("{} prompts, {} completions, valid {:.3f}\n", rows.size(), batch.scored.size(),
             valid / count);
  fmt::print("  {:<20} {:8.4f}\n", "reward", reward / count);
  for (const auto& [name, value] : sums) fmt::print("  {:<20} {:8.4f}\n", name, value / count);
  fmt::print("  {:<20} {:8.4f}\n", "zero-variance share",
             zero_variance_share(batch.rewards, options.grpo.num_generations));
  for (size_t i = 0; i < std::min<size_t>(4, batch.scored.size()); ++i)
    fmt::print("\n[{}] reward {:.4f}\n{}\n", batch.rollouts[i].id, batch.rewards[i],
               tokenizer.decode(batch.completions[i].ids));
}

// Rollouts and the update of a micro-batch take turns, but memory once used stays with the process.
MemoryEstimate estimate_of(const ReinforceOptions& options, const LoadedModel& model,
                           const GrpoOptions& grpo, std::span<const GrpoRow> rows) {
  const auto around =
      static_cast<int64_t>(grpo.format.close.size() + grpo.format.finish.size()) + 1;
  const int64_t completion = grpo.format.max_reasoning_tokens + around;
  std::vector<int64_t> tokens;
  RolloutLoad load;
  for (const GrpoRow& row : rows) {
    const auto prompt = static_cast<int64_t>(row.prompt.size());
    load.prompt_tokens = std::max(load.prompt_tokens, prompt);
    tokens.push_back(prompt + grpo.num_generations * completion);
  }
  MemoryEstimate estimate =
      estimate_training(model.config, options.lora, options.trainer, std::move(tokens), 0,
                        model.storage, std::ssize(model.virtual_tokens));
  if (grpo.policy.beta > 0 && options.lora.r == 0)
    estimate.parts.emplace_back("reference", weights_bytes(model.config, model.storage));
  load.rows_per_prompt = grpo.num_generations;
  load.total_rows = options.trainer.train_batch_size * grpo.num_generations;
  load.new_tokens = completion;
  const MemoryEstimate update = estimate;
  add_rollouts(model.config, load, estimate, model.storage);
  // Every trained token was rolled out before, by one forward pass.
  const bool frozen_base = options.lora.r > 0 || options.prompt_tuning;
  const double forward = frozen_base ? 1.0 / 2 : 1.0 / 3;
  estimate.tokens = 2 * update.tokens;
  estimate.flops = update.flops * (1 + forward);
  return estimate;
}

}  // namespace

MemoryEstimate estimate_reinforce(const ReinforceOptions& options) {
  const Workspace workspace = open_workspace(options.data);
  const CandidateSet set = workspace_candidates(workspace, "train");
  LoadedModel model = open_model_folder(options.model, workspace.hash, options.dtype);
  plan_prompt(options.model, options.prompt_tuning, model);
  const AnswerEncoding encoding =
      encode_answers(*model.tokenizer, set.options.count, model.card.prompt.reasoning);
  Holdout holdout;
  if (!options.recommender.empty()) holdout.after = trained_until(options.recommender);
  return estimate_of(options, model, grpo_options(options, model, encoding),
                     make_rows(options, workspace, set, model, encoding, holdout));
}

TrainingResult reinforce(const ReinforceOptions& options) {
  const Workspace workspace = open_workspace(options.data);
  const CandidateSet set = workspace_candidates(workspace, "train");
  LoadedModel model = open_model_folder(options.model, workspace.hash, options.dtype);
  CHECK(!model.card.catalogue_hash.empty(), kModel,
        "{}: not trained on this data set\nhint: etrlrec distill first", options.model);
  const PromptTuningConfig prompt = plan_prompt(options.model, options.prompt_tuning, model);
  const AnswerEncoding encoding =
      encode_answers(*model.tokenizer, set.options.count, model.card.prompt.reasoning);
  std::unique_ptr<Recommender> recommender;
  Holdout holdout;
  if (!options.recommender.empty()) {
    holdout.after = trained_until(options.recommender);
    recommender = load_recommender_of(options.recommender, workspace.dataset.catalogue);
  }
  std::vector<GrpoRow> rows = make_rows(options, workspace, set, model, encoding, holdout);
  log_info("reinforce: {} prompts, {} left out because the recommender may have seen them",
           rows.size(), holdout.dropped);
  ClaimWeights claim_weights;
  if (!options.reasoning.empty())
    claim_weights = read_claim_weights(fs::path(options.reasoning) / "claim_weights.json");

  const GrpoOptions grpo = grpo_options(options, model, encoding);
  check_memory(estimate_of(options, model, grpo, rows), available_memory(), "reinforce",
               kTrainingMemoryHint);
  const auto load_policy = [&] {
    load_weights_of(options.model, model);
    if (prompt.num_virtual_tokens > 0) attach_prompt(*model.llm, prompt, options.trainer.seed);
    return std::move(model.llm);
  };
  model.llm = load_policy();
  const auto num_rows = static_cast<int64_t>(rows.size());
  const RecommendationReward reward(reward_setup(options, model, grpo, recommender.get(), workspace,
                                                 planned_steps(num_rows, options.trainer)),
                                    workspace, set, recommender.get(), claim_weights,
                                    *model.tokenizer);

  // The reference is the model before the first step: the same weights with the new adapter off, or
  // a frozen copy.
  std::unique_ptr<Llm> frozen;
  Llm* reference = nullptr;
  if (grpo.policy.beta > 0) {
    if (options.lora.r == 0) {
      std::unique_ptr<Llm> policy = std::move(model.llm);
      frozen = load_policy();
      model.llm = std::move(policy);
    }
    reference = frozen ? frozen.get() : model.llm.get();
  }
  attach_adapter(*model.llm, options.lora, num_rows, options.trainer);
  GrpoObjective objective(*model.llm, reference, std::move(rows), grpo, std::cref(reward),
                          SampleWriter(options, workspace, *model.tokenizer));
  if (options.check_rewards > 0) {
    print_rewards(objective, options, *model.tokenizer);
    return {};
  }

  ModelCard card = model.card;
  card.stage = "reinforce";
  card.parent = options.model;
  card.num_virtual_tokens = std::ssize(model.virtual_tokens);
  if (options.lora.r > 0 && options.dtype != "float32") card.merged_dtype = options.dtype;
  return train_model(objective, workspace, model, card, options);
}

namespace {

void add_reward_options(Command& command, ReinforceOptions& options, std::string& mode,
                        std::string& crm) {
  const std::string group = "Reward";
  command.add_option("--reward-mode", mode, "verified: format gate and dominance of the label")
      .one_of({"faithful", "verified"})
      .group(group);
  command.add_option("--crm-reward", crm, "the recommender's term; default by the mode")
      .one_of({"faithful", "calibrated", "percentile"})
      .group(group);
  command
      .add_option("--reward-weights", options.reward_weights,
                  "reasoning,recommender,label instead of a curriculum")
      .separated_by(',')
      .count(3, 3)
      .group(group);
  command.add_option("--curriculum", options.curriculum.name, "weights by optimiser step")
      .one_of({"C0", "C1", "C2", "C3", "C4"})
      .group(group);
  command.add_option("--curriculum-step", options.curriculum.switch_step, "C0, C2: first switch")
      .group(group);
  command.add_option("--gate", options.reward.gate, "dominance of right answers")
      .one_of({"on", "off", "reasoning-only"})
      .group(group);
  command.add_option("--eta", options.reward.eta, "partial credit of a near miss")
      .range(0.0, 0.99)
      .group(group);
  command
      .add_flag("--rank-credit,!--no-rank-credit", options.rank_credit,
                "misses are credited by the target's rank, too")
      .group(group);
  command
      .add_option("--length-limit", options.length_limit,
                  "tokens of a completion with the full length penalty, 0: its budget")
      .group(group);
  command
      .add_option("--check-rewards", options.check_rewards,
                  "only roll out and score that many prompts")
      .group(group);
}

void add_policy_options(Command& command, GrpoOptions& options) {
  const std::string group = "Policy";
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(group);
  };
  add("--num-generations,--group-size", options.num_generations, "completions per prompt");
  add("--temperature", options.temperature, "of the rollouts");
  add("--top-p", options.top_p, "of the rollouts");
  add("--beta,--kl-coef", options.policy.beta, "weight of the divergence from the distilled model");
  add("--kl-estimator", options.policy.kl_estimator, "differentiated as a loss")
      .one_of({"k2", "k3"});
  add("--epsilon,--clip-eps", options.policy.epsilon, "clipping of the ratio, below");
  add("--epsilon-high", options.policy.epsilon_high, "clipping of the ratio, above");
  add("--loss-type", options.policy.loss_type, "how tokens are averaged")
      .one_of({"grpo", "dapo", "bnpo", "dr_grpo", "sum"});
  add("--importance-sampling-level", options.policy.importance_sampling_level, "of the ratio")
      .one_of({"token", "sequence"});
  add("--advantage", options.advantage, "normalisation of rewards in a group")
      .one_of({"group", "batch", "mean", "rloo"});
  add("--std-floor", options.std_floor, "least standard deviation of group and batch");
  command.add_flag("--rb,!--no-rb", options.rb, "exact expectation over the answers").group(group);
  add("--lambda-ce", options.lambda_ce, "with --rb: weight of the target's log-likelihood");
  add("--lambda-format", options.lambda_format,
      "weight of the likelihood of a valid answer and the closing tags");
  add("--pass-at-k", options.pass_at_k, "without --rb: pass@k bonus, 0: off");
  command
      .add_flag("--mask-truncated-completions", options.mask_truncated_completions,
                "completions closed by force carry no loss")
      .group(group);
}

}  // namespace

void add_reinforce(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("reinforce", "GRPO with the composed reward");
  command.alias("grpo").alias("rl");
  auto options = std::make_shared<ReinforceOptions>();
  auto adapter = std::make_shared<AdapterOptions>();
  auto mode = std::make_shared<std::string>("verified"), crm = std::make_shared<std::string>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-m,--model", options->model, "model folder of distill")
      .required()
      .existing_folder();
  command.add_option(
      "--recommender", options->recommender,
      "folder of fit --train-share; only prompts after its training are used; without "
      "it the recommender's weight is 0");
  command.add_option("--reasoning", options->reasoning,
                     "folder of construct (claim weights); without it every claim weighs one bit");
  command.add_option("-o,--out", options->out,
                     "model folder to fill; an unfinished one is continued");
  command.add_option("--sft-share", options->sft_share, "as given to distill").range(0.0, 1.0);
  command.add_option("--limit", options->limit, "prompts, 0: all");
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation");
  command.add_option("--samples", options->samples, "completions kept of every logged step");
  add_reward_options(command, *options, *mode, *crm);
  add_policy_options(command, options->grpo);
  add_training_options(command, options->trainer);
  add_adapter_options(command, *adapter);
  add_dtype(command, options->dtype);
  auto dry_run = std::make_shared<bool>(false);
  add_dry_run(command, *dry_run);
  command.on_run([options, adapter, mode, crm, dry_run, command, &common] {
    const Stopwatch watch;
    options->trainer.seed = common.seed;
    options->lora = adapter->config();
    options->prompt_tuning = adapter->prompt();
    check_trainable(options->dtype, *adapter);
    if (*dry_run) {
      report_estimate(estimate_reinforce(*options), "reinforce", common);
      return;
    }
    CHECK(options->check_rewards > 0 || !options->out.empty(), kUsage, "--out is required");
    options->reward.mode = reward_mode_from_name(*mode);
    const bool faithful = options->reward.mode == RewardMode::kFaithful;
    options->reward.crm = crm_reward_from_name(!crm->empty() ? *crm
                                               : faithful    ? "faithful"
                                                             : "calibrated");
    const TrainingResult result = reinforce(*options);
    if (options->check_rewards > 0) return;
    write_run_record(options->out, command, common,
                     {{"data", options->data}, {"model", options->model}}, watch.seconds());
    report_training(result, options->trainer, options->out, common);
  });
}

}  // namespace etrlrec
