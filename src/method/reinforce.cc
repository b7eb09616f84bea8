#include "method/reinforce.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "base/rng.h"
#include "method/construct.h"
#include "method/fit.h"
#include "method/item_embeddings.h"
#include "method/reward.h"
#include "method/sample_writer.h"
#include "method/stage.h"
#include "temporal/claim_weights.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"
#include "train/checkpoint.h"
#include "train/frozen_reader.h"

namespace etrlrec {
namespace {

constexpr int64_t kCalibrationRows = 2000;
constexpr size_t kShownSamples = 4;
constexpr int64_t kCheckedCompletions = 64;  // for min_valid

// The rows that the model was distilled on. A folder of an older version does not name them.
DistillationRows distilled_rows(const ReinforceOptions& options, const ModelCard& card,
                                const CandidateSet& set) {
  if (!card.distillation_rows) {
    CHECK(options.sft_share.has_value(), kUsage,
          "{}: does not say which rows it was distilled on\nhint: --sft-share and --seed as they "
          "were given to distill; such a row is not rolled out",
          options.model);
    return {*options.sft_share, options.trainer.seed, set.hash};
  }
  const DistillationRows& rows = *card.distillation_rows;
  CHECK(rows.candidates == set.hash, kModel, "{}: distilled on another candidate file than {}'s",
        options.model, options.data);
  CHECK(!options.sft_share || *options.sft_share == rows.share, kUsage,
        "--sft-share: {} was distilled on the share {}, found {}\nhint: leave the option out",
        options.model, rows.share, options.sft_share.value_or(0));
  return rows;
}

// The rows to roll out. `after`: only those with a later request time; the recommender has learned
// from the others or from later events, so it must not reward them (method.md G.3 (3)), or the
// model has read them and knows their answers by heart.
std::vector<GrpoRow> make_rows(const ReinforceOptions& options, const RowSource& source,
                               const LoadedModel& model, const DistillationRows& distilled,
                               int64_t after) {
  std::vector<int64_t> open;
  int64_t dropped = 0;
  for (int64_t row = 0; row < source.size(); ++row) {
    if (distilled.contains(row)) continue;
    if (source.request_time(row) > after)
      open.push_back(row);
    else
      ++dropped;
  }
  CHECK(!open.empty() || dropped == 0, kInput,
        "reinforce: the recommender (or the model that read the log) has learned from all {} "
        "prompts or from later events\n"
        "hint: fit one with --train-share 0.5, or no --recommender; pretrain --train-share",
        dropped);
  CHECK(!open.empty(), kInput, "reinforce: no training rows are left by a distillation share of {}",
        distilled.share);
  std::vector<int64_t> drawn = draw_limited(std::ssize(open), options.limit, options.trainer.seed);
  std::sort(drawn.begin(), drawn.end());
  std::vector<GrpoRow> rows;
  const ChatFrame around = model.frame(model.card.prompt);
  for (const int64_t index : drawn) {
    const int64_t number = open[static_cast<size_t>(index)];
    const RowView view = source.view(number);
    GrpoRow& row = rows.emplace_back();
    row.id = number;
    row.prompt = view.encoding(*model.tokenizer, around.before, around.after);
    row.answers = encode_answers(*model.tokenizer, view.answers(), model.card.prompt).answers;
    row.target = view.request().target_slot;
  }
  log_info("reinforce: {} prompts, {} left out because they have been learned from already",
           rows.size(), dropped);
  return rows;
}

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
  check_grpo_options(grpo);
  return grpo;
}

RewardSetup reward_setup(const ReinforceSetup& setup) {
  const ReinforceOptions& options = setup.options;
  const ReasoningFormat& format = setup.grpo.format;
  RewardSetup made;
  made.reward = options.reward;
  made.curriculum = options.curriculum;
  made.curriculum.total_steps = planned_steps(std::ssize(setup.rows), options.trainer);
  made.fixed_weights = options.reward_weights;
  made.rank_credit = options.rank_credit;
  made.judge = options.judge;
  made.seed = options.trainer.seed;
  made.item_embeddings = setup.item_embeddings;
  made.frame = setup.model.frame(setup.model.card.prompt);
  const auto around = static_cast<int64_t>(format.close.size() + format.finish.size());
  made.reward.max_length = options.length_limit > 0
                               ? options.length_limit
                               : std::max<int64_t>(4, format.max_reasoning_tokens + around);
  made.reward.length_buffer = options.length_buffer > 0
                                  ? options.length_buffer
                                  : std::max<int64_t>(1, made.reward.max_length / 4);
  CHECK(made.reward.length_buffer <= made.reward.max_length, kUsage,
        "--length-buffer: expected at most the limit of {} tokens, found {}",
        made.reward.max_length, made.reward.length_buffer);
  if (setup.recommender && made.reward.crm == CrmReward::kCalibrated) {
    made.reward.crm_temperature =
        calibrate_recommender(*setup.recommender, *setup.study, kCalibrationRows);
    log_info("reinforce: recommender temperature {:.4g} (calibrated on validation rows)",
             made.reward.crm_temperature);
  }
  return made;
}

ClaimWeights claim_weights_of(const ReinforceOptions& options, const Study& study,
                              const PromptOptions& prompt) {
  if (options.reasoning.empty()) return {};
  const ReasoningRecord record = read_reasoning_record(options.reasoning);
  CHECK(record.catalogue_hash == study.catalogue_hash, kModel,
        "{}: written for another item table than {}'s", options.reasoning, options.data);
  CHECK(record.prompt.style == prompt.style, kModel, "{}: written in the style {}, {} in {}",
        options.reasoning, record.prompt.style, options.model, prompt.style);
  return read_claim_weights(fs::path(options.reasoning) / "claim_weights.json");
}

ModelCard card_of(const ReinforceOptions& options, const LoadedModel& model,
                  const DistillationRows& distilled) {
  ModelCard card = model.card;
  card.stage = "reinforce";
  card.parent = options.model;
  card.distillation_rows = distilled;
  if (options.lora.r > 0 && options.dtype != "float32") card.merged_dtype = options.dtype;
  return card;
}

void check_judge_of(const ReinforceOptions& options, const PromptOptions& prompt) {
  check_judge(options.judge, options.numerics);
  if (!options.judge.is_asked()) return;
  CHECK(prompt.reasoning, kUsage, "--judge: {} answers without a reasoning that could be judged",
        options.model);
  if (prompt.style != "natural")
    log_warning(
        "--judge: reasonings in the style {} are no plain English, which the judge may not "
        "understand; a model in the style natural writes it",
        prompt.style);
  CHECK(!options.judge.reveal || !options.grpo.exact_answer_expectation, kUsage,
        "--judge-reveal: the judge speaks of the sampled answer, --rb asks for the reward of every "
        "answer\nhint: leave one of them out");
  CHECK(options.judge.kind == "local" || !options.judge.calls.empty() || !options.out.empty(),
        kUsage, "--judge endpoint: expected --out or --judge-calls, where its answers are kept");
}

void check_usefulness_of(const ReinforceOptions& options, const PromptOptions& prompt) {
  check_reward_options(options.reward);
  CHECK(options.reward.usefulness_share == 0 || prompt.reasoning, kUsage,
        "--usefulness-share: {} answers without a reasoning that could be useful", options.model);
}

// Whether the model before the first step is asked, and whether it is a copy of its own.
bool needs_reference(const ReinforceOptions& options, const GrpoOptions& grpo) {
  return grpo.policy.beta > 0 || options.reward.usefulness_share > 0;
}
bool needs_copy(const ReinforceOptions& options, const GrpoOptions& grpo) {
  return needs_reference(options, grpo) && options.lora.r == 0;
}

std::unique_ptr<Judge> judge_of(const ReinforceOptions& options) {
  const JudgeOptions& judge = options.judge;
  if (!judge.is_asked()) return nullptr;
  return make_judge(
      judge, options.numerics,
      judge.calls.empty() ? fs::path(options.out) / "judge_calls.jsonl" : fs::path(judge.calls));
}

// The policy with its weights, its reward and the reference of the divergence. Parts point to each
// other and to the setup: it stays where it was made.
class Learner {
 public:
  explicit Learner(ReinforceSetup& setup)
      : setup_(setup),
        num_rows_(std::ssize(setup.rows)),
        reference_(load_models()),
        judge_(judge_of(setup.options)),
        reader_(reader_of(setup)),
        reward_(reward_setup(setup), setup.source, setup.recommender.get(), setup.claim_weights,
                *setup.model.tokenizer, judge_.get(), reader_.get()),
        objective_(*setup.model.model, reference_, std::move(setup.rows), setup.grpo,
                   std::cref(reward_),
                   SampleWriter(setup.options.out, setup.options.samples,
                                setup.options.trainer.logging_steps, setup.source,
                                *setup.model.tokenizer)) {}
  Learner(const Learner&) = delete;

  GrpoObjective& objective() { return objective_; }

 private:
  std::unique_ptr<LanguageModel> load_policy() {
    LoadedModel& model = setup_.model;
    load_weights_of(model);
    attach_planned_prompt(*model.model, setup_.prompt, setup_.options.trainer.seed);
    return std::move(model.model);
  }

  // Loads the policy into the setup's model and returns the reference, the model before the first
  // step: the policy itself with its new adapter off, a frozen copy, or null where nobody asks it.
  LanguageModel* load_models() {
    const ReinforceOptions& options = setup_.options;
    std::unique_ptr<LanguageModel> policy = load_policy();
    if (needs_copy(options, setup_.grpo)) frozen_ = load_policy();
    setup_.model.model = std::move(policy);
    attach_adapter(*setup_.model.model, options.lora, num_rows_, options.trainer);
    trained_tensors(*setup_.model.model, setup_.prompt);  // refuses a model that moves elsewhere
    if (!needs_reference(options, setup_.grpo)) return nullptr;
    return frozen_ ? frozen_.get() : setup_.model.model.get();
  }

  std::unique_ptr<const FrozenReader> reader_of(const ReinforceSetup& setup) const {
    if (setup.options.reward.usefulness_share == 0) return nullptr;
    return std::make_unique<const FrozenReader>(*setup.model.model, *reference_,
                                                setup.grpo.format.close);
  }

  ReinforceSetup& setup_;
  int64_t num_rows_;
  std::unique_ptr<LanguageModel> frozen_;
  LanguageModel* reference_;
  std::unique_ptr<Judge> judge_;                // null: nobody judges
  std::unique_ptr<const FrozenReader> reader_;  // null: nobody asks how useful reasonings are
  RecommendationReward reward_;
  GrpoObjective objective_;
};

// Some prompts of the untrained policy; a training that goes on is not asked again.
void check_valid_share(const GrpoObjective& objective, const ReinforceSetup& setup) {
  const ReinforceOptions& options = setup.options;
  if (options.min_valid <= 0 || !CheckpointFolder(options.out).steps().empty()) return;
  const int64_t prompts = std::max<int64_t>(1, kCheckedCompletions / setup.grpo.num_generations);
  const auto batch = objective.roll_out(spread_rows(objective.num_rows(), prompts), 0,
                                        Rng(options.trainer.seed, "valid share").next());
  double valid = 0, cut = 0;
  for (const ScoredCompletion& scored : batch.scored) {
    valid += scored.invalid.empty();
    cut += scored.invalid == "truncated";
  }
  const auto count = static_cast<double>(batch.scored.size());
  CHECK(valid >= options.min_valid * count, kModel,
        "{}: {:.0f} % of its completions are valid ({:.0f} % are cut at their budget), "
        "reinforcement needs {:.0f} %\nhint: distill longer first, or with a higher "
        "--max-reasoning-tokens; --min-valid 0 trains all the same; --check-rewards {} shows them",
        options.model, 100 * valid / count, 100 * cut / count, 100 * options.min_valid, prompts);
}

}  // namespace

ReinforceSetup setup(const ReinforceOptions& options) {
  auto study = std::make_unique<const Study>(open_study(options.data));
  CandidateSet set = study->candidates("train");
  LoadedModel model = open_with_prompt(options.model, study->catalogue_hash, options.dtype,
                                       options.numerics, options.init_prompt);
  CHECK(!model.card.catalogue_hash.empty(), kModel,
        "{}: not trained on this data set\nhint: etrlrec distill first", options.model);
  check_judge_of(options, model.card.prompt);
  check_usefulness_of(options, model.card.prompt);
  const DistillationRows distilled = distilled_rows(options, model.card, set);
  PromptPlan prompt = plan_prompt(options.model, options.prompt_tuning, model, options.lora);
  RowSource source(*study, std::move(set), model.card.prompt);
  std::unique_ptr<Recommender> recommender;
  int64_t after = model.card.read_until.value_or(std::numeric_limits<int64_t>::min());
  if (!options.recommender.empty()) {
    after = std::max(after, trained_until(options.recommender));
    recommender = load_recommender_of(options.recommender, study->dataset, options.numerics);
  }
  auto knowledge = open_knowledge(model.card.prompt, model.card.pattern, options.recommender,
                                  study->dataset, options.numerics, options.model);
  if (knowledge) add_training_knowledge(*knowledge, source);
  std::vector<GrpoRow> rows = make_rows(options, source, model, distilled, after);
  at::Tensor item_embeddings;
  if (!options.embeddings.empty())
    item_embeddings = load_item_embeddings(options.embeddings, study->dataset.catalogue);
  ClaimWeights claim_weights = claim_weights_of(options, *study, model.card.prompt);
  GrpoOptions grpo = grpo_options(
      options, model,
      encode_answers(*model.tokenizer, {}, model.card.prompt, source.set().options.count));
  ModelCard card = card_of(options, model, distilled);
  if (knowledge) card.pattern = knowledge->record();
  return {.options = options,
          .study = std::move(study),
          .source = std::move(source),
          .model = std::move(model),
          .prompt = std::move(prompt),
          .card = std::move(card),
          .recommender = std::move(recommender),
          .knowledge = std::move(knowledge),
          .item_embeddings = std::move(item_embeddings),
          .claim_weights = std::move(claim_weights),
          .grpo = std::move(grpo),
          .rows = std::move(rows)};
}

// Rollouts and the update of a micro-batch take turns, but memory once used stays with the process.
MemoryEstimate plan(const ReinforceSetup& setup) {
  const ReinforceOptions& options = setup.options;
  const GrpoOptions& grpo = setup.grpo;
  const LoadedModel& model = setup.model;
  const auto around =
      static_cast<int64_t>(grpo.format.close.size() + grpo.format.finish.size()) + 1;
  const int64_t completion = grpo.format.max_reasoning_tokens + around;
  std::vector<RowTokens> tokens;
  RolloutLoad load;
  for (const GrpoRow& row : setup.rows) {
    load.prompt_tokens = std::max(load.prompt_tokens, std::ssize(row.prompt));
    tokens.push_back({std::ssize(row.prompt), grpo.num_generations * completion});
  }
  MemoryEstimate estimate =
      estimate_training(*model.model, {options.lora, setup.prompt.num_trained_tokens},
                        options.trainer, std::move(tokens));
  if (needs_copy(options, grpo))
    estimate.parts.emplace_back("reference", weights_bytes(*model.model));
  load.rows_per_prompt = grpo.num_generations;
  load.total_rows = options.trainer.train_batch_size * grpo.num_generations;
  load.new_tokens = completion;
  add_judge(options.judge, estimate);
  const MemoryEstimate update = estimate;
  add_rollouts(*model.model, load, estimate);
  // Every trained token was rolled out before, by one forward pass.
  const bool frozen_base = options.lora.r > 0 || options.prompt_tuning;
  const double forward = frozen_base ? 1.0 / 2 : 1.0 / 3;
  estimate.tokens = 2 * update.tokens;
  estimate.flops = update.flops * (1 + forward);
  if (options.reward.usefulness_share > 0) {
    // The reference reads all that was rolled out; a pass takes what batch_tokens allow.
    const int64_t row = load.prompt_tokens + (grpo.num_generations + 1) * completion;
    const int64_t together = std::clamp<int64_t>(GenerationOptions{}.batch_tokens / row, 1,
                                                 options.trainer.train_batch_size);
    const PassShape pass{.prompt_tokens = together * load.prompt_tokens,
                         .text_tokens = together * (row - load.prompt_tokens),
                         .longest_prompt = load.prompt_tokens};
    estimate.parts.emplace_back("activations of usefulness",
                                model.model->cost(pass).activation_bytes);
    estimate.tokens += update.tokens;
    estimate.flops += update.flops * forward;
  }
  return estimate;
}

TrainingResult run(ReinforceSetup setup) {
  check_memory(plan(setup), available_memory(), "reinforce", kTrainingMemoryHint);
  Learner learner(setup);
  check_valid_share(learner.objective(), setup);
  return train_model(learner.objective(), *setup.study, setup.model, setup.card,
                     setup.options.trainer, setup.options.eval_rows, setup.options.model,
                     setup.options.out, setup.knowledge.get());
}

TrainingResult reinforce(const ReinforceOptions& options) { return run(setup(options)); }

RewardCheck check_rewards(ReinforceSetup setup, int64_t prompts) {
  check_memory(plan(setup), available_memory(), "reinforce", kTrainingMemoryHint);
  Learner learner(setup);
  const GrpoObjective& objective = learner.objective();
  const auto rows = spread_rows(objective.num_rows(), prompts);
  const GrpoObjective::Batch batch = objective.roll_out(rows, 0, setup.options.trainer.seed);
  const auto count = static_cast<double>(batch.scored.size());
  RewardCheck check;
  check.prompts = std::ssize(rows);
  check.completions = std::ssize(batch.scored);
  for (size_t i = 0; i < batch.scored.size(); ++i) {
    for (const auto& [name, value] : batch.scored[i].parts) check.parts[name] += value / count;
    check.valid += batch.scored[i].invalid.empty() / count;
    check.reward += batch.rewards[i] / count;
    if (i >= kShownSamples) continue;
    const int64_t row = batch.rollouts[i].id;
    RewardCheck::Sample& sample = check.samples.emplace_back();
    sample.row = row, sample.reward = batch.rewards[i];
    sample.text = setup.model.tokenizer->decode(batch.completions[i].ids);
    if (setup.source.prompt().reasoning)
      sample.explanation =
          explanation_text(explain_completion(sample.text, setup.source.view(row)).explanation);
  }
  check.zero_variance_share = zero_variance_share(batch.rewards, setup.grpo.num_generations);
  return check;
}

std::string format_check(const RewardCheck& check) {
  const auto line = [](const std::string& name, double value) {
    return fmt::format("  {:<20} {:8.4f}\n", name, value);
  };
  std::string text = fmt::format("{} prompts, {} completions, valid {:.3f}\n", check.prompts,
                                 check.completions, check.valid);
  text += line("reward", check.reward);
  for (const auto& [name, value] : check.parts) text += line(name, value);
  text += line("zero-variance share", check.zero_variance_share);
  for (const RewardCheck::Sample& sample : check.samples)
    text += fmt::format("\n[{}] reward {:.4f}\n{}\n{}", sample.row, sample.reward, sample.text,
                        sample.explanation);
  return text;
}

}  // namespace etrlrec
