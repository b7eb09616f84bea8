#include "method/reinforce.h"

#include <cmath>
#include <limits>
#include <memory>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/fit.h"
#include "method/model_folder.h"
#include "method/prompt_adapter.h"
#include "method/reward.h"
#include "method/stage.h"
#include "method/study.h"
#include "temporal/claim_weights.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr int64_t kCalibrationRows = 2000;

// Rows the recommender must not reward: it has learned from them or from later events (method.md
// G.3 (3)).
struct Holdout {
  int64_t after = std::numeric_limits<int64_t>::min();  // only rows with a later request time
  int64_t dropped = 0;
};

std::vector<GrpoRow> make_rows(const ReinforceOptions& options, const Study& study,
                               const CandidateSet& set, const LoadedModel& model,
                               const AnswerEncoding& encoding, Holdout& holdout) {
  std::vector<GrpoRow> rows;
  const auto total = static_cast<int64_t>(set.rows.size());
  for (int64_t r = 0; r < total; ++r) {
    if (options.limit > 0 && static_cast<int64_t>(rows.size()) >= options.limit) break;
    if (is_distillation_row(options.trainer.seed, r, options.sft_share)) continue;
    const Request request = make_request(study.dataset, set, r, model.card.prompt.max_history);
    if (request.now <= holdout.after) {
      ++holdout.dropped;
      continue;
    }
    GrpoRow& row = rows.emplace_back();
    row.id = r;
    row.prompt = model.encode(student_prompt(study.dataset.catalogue, request, model.card.prompt));
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
  SampleWriter(const ReinforceOptions& options, const Study& study, const Tokenizer& tokenizer)
      : options_(options), study_(study), tokenizer_(tokenizer) {}

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
  const Study& study_;
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
                         const Study& study, int64_t total_steps) {
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
    setup.reward.crm_temperature = calibrate_recommender(*recommender, study, kCalibrationRows);
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
                           const PromptPlan& prompt, const GrpoOptions& grpo,
                           std::span<const GrpoRow> rows) {
  const auto around =
      static_cast<int64_t>(grpo.format.close.size() + grpo.format.finish.size()) + 1;
  const int64_t completion = grpo.format.max_reasoning_tokens + around;
  std::vector<RowTokens> tokens;
  RolloutLoad load;
  for (const GrpoRow& row : rows) {
    load.prompt_tokens = std::max(load.prompt_tokens, std::ssize(row.prompt));
    tokens.push_back({std::ssize(row.prompt), grpo.num_generations * completion});
  }
  MemoryEstimate estimate = estimate_training(
      *model.model, {options.lora, prompt.num_trained_tokens}, options.trainer, std::move(tokens));
  if (grpo.policy.beta > 0 && options.lora.r == 0)
    estimate.parts.emplace_back("reference", weights_bytes(*model.model));
  load.rows_per_prompt = grpo.num_generations;
  load.total_rows = options.trainer.train_batch_size * grpo.num_generations;
  load.new_tokens = completion;
  const MemoryEstimate update = estimate;
  add_rollouts(*model.model, load, estimate);
  // Every trained token was rolled out before, by one forward pass.
  const bool frozen_base = options.lora.r > 0 || options.prompt_tuning;
  const double forward = frozen_base ? 1.0 / 2 : 1.0 / 3;
  estimate.tokens = 2 * update.tokens;
  estimate.flops = update.flops * (1 + forward);
  return estimate;
}

}  // namespace

MemoryEstimate estimate_reinforce(const ReinforceOptions& options) {
  const Study study = open_study(options.data);
  const CandidateSet set = study.candidates("train");
  LoadedModel model =
      open_model_folder(options.model, study.catalogue_hash, options.dtype, options.numerics);
  const PromptPlan prompt = plan_prompt(options.model, options.prompt_tuning, model);
  const AnswerEncoding encoding =
      encode_answers(*model.tokenizer, set.options.count, model.card.prompt);
  Holdout holdout;
  if (!options.recommender.empty()) holdout.after = trained_until(options.recommender);
  return estimate_of(options, model, prompt, grpo_options(options, model, encoding),
                     make_rows(options, study, set, model, encoding, holdout));
}

TrainingResult reinforce(const ReinforceOptions& options) {
  const Study study = open_study(options.data);
  const CandidateSet set = study.candidates("train");
  LoadedModel model =
      open_model_folder(options.model, study.catalogue_hash, options.dtype, options.numerics);
  CHECK(!model.card.catalogue_hash.empty(), kModel,
        "{}: not trained on this data set\nhint: etrlrec distill first", options.model);
  const PromptPlan prompt = plan_prompt(options.model, options.prompt_tuning, model);
  const AnswerEncoding encoding =
      encode_answers(*model.tokenizer, set.options.count, model.card.prompt);
  std::unique_ptr<Recommender> recommender;
  Holdout holdout;
  if (!options.recommender.empty()) {
    holdout.after = trained_until(options.recommender);
    recommender =
        load_recommender_of(options.recommender, study.dataset.catalogue, options.numerics);
  }
  std::vector<GrpoRow> rows = make_rows(options, study, set, model, encoding, holdout);
  log_info("reinforce: {} prompts, {} left out because the recommender may have seen them",
           rows.size(), holdout.dropped);
  ClaimWeights claim_weights;
  if (!options.reasoning.empty())
    claim_weights = read_claim_weights(fs::path(options.reasoning) / "claim_weights.json");

  const GrpoOptions grpo = grpo_options(options, model, encoding);
  check_memory(estimate_of(options, model, prompt, grpo, rows), available_memory(), "reinforce",
               kTrainingMemoryHint);
  const auto load_policy = [&] {
    load_weights_of(model);
    attach_planned_prompt(*model.model, prompt, options.trainer.seed);
    return std::move(model.model);
  };
  model.model = load_policy();
  const auto num_rows = static_cast<int64_t>(rows.size());
  const RecommendationReward reward(reward_setup(options, model, grpo, recommender.get(), study,
                                                 planned_steps(num_rows, options.trainer)),
                                    study, set, recommender.get(), claim_weights, *model.tokenizer);

  // The reference is the model before the first step: the same weights with the new adapter off, or
  // a frozen copy.
  std::unique_ptr<LanguageModel> frozen;
  LanguageModel* reference = nullptr;
  if (grpo.policy.beta > 0) {
    if (options.lora.r == 0) {
      std::unique_ptr<LanguageModel> policy = std::move(model.model);
      frozen = load_policy();
      model.model = std::move(policy);
    }
    reference = frozen ? frozen.get() : model.model.get();
  }
  attach_adapter(*model.model, options.lora, num_rows, options.trainer);
  GrpoObjective objective(*model.model, reference, std::move(rows), grpo, std::cref(reward),
                          SampleWriter(options, study, *model.tokenizer));
  if (options.check_rewards > 0) {
    print_rewards(objective, options, *model.tokenizer);
    return {};
  }

  ModelCard card = model.card;
  card.stage = "reinforce";
  card.parent = options.model;
  if (options.lora.r > 0 && options.dtype != "float32") card.merged_dtype = options.dtype;
  return train_model(objective, study, model, card, options.trainer, options.eval_rows,
                     options.model, options.out);
}

}  // namespace etrlrec
