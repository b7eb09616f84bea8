// The three stages of the method as plain functions on option structs, so that commands and recipes
// run the same code. Each reads folders and fills one; each can be stopped at any time and
// continues when called again with the same options.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "method/memory_estimate.h"
#include "method/prompt_adapter.h"
#include "method/study.h"
#include "train/grpo.h"
#include "train/reward.h"
#include "train/sft.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

// Stage 1: teacher reasoning for the training rows of a data set, filtered (method.md G.2).
// Writes reasoning.jsonl, claim_weights.json, statistics.json, construct.json.
struct ConstructOptions {
  std::string data, out;
  std::string teacher = "program";
  int32_t draws = 4, hinted_draws = 2;
  std::string hint_policy =
      "fallback";  // fallback: hinted draws only where all others were rejected | never | always
  double temperature = 1.0;
  bool filter_answer = true;   // only draws that answer with the target are kept
  double min_precision = 0.9;  // of the claims
  int32_t max_per_row = 1;     // kept draws of one row, all different
  int32_t max_history = 8;
  bool with_times = true;  // false: no claim about gaps or the season
  int64_t limit = 0;       // rows, 0: all
  uint64_t seed = 42;
};
struct ConstructSummary {
  int64_t rows = 0, rows_kept = 0, draws = 0, kept = 0, hinted = 0;
  std::map<std::string, int64_t> rejected;  // by the first filter that refused
};
ConstructSummary construct(const ConstructOptions& options);

// Stage 2: the student is trained on the reasoning (or on the answers alone: label_only). `out`
// becomes a complete model folder that also holds the checkpoints and metrics of the run.
struct DistillOptions {
  std::string data, reasoning, model, out, dtype = "float32";
  bool label_only = false;
  double direct_share = 0;  // share of the rows that is trained as a direct answer, too
  double sft_share = 0.4;   // of the training rows, by seeded hash; reinforce uses the others
  bool with_times = true;
  int32_t max_history = 8;
  int64_t max_reasoning_tokens = 160;
  int64_t limit = 0;        // training rows, 0: all
  int64_t eval_rows = 500;  // of the validation rows, 0: no validation
  SftOptions sft;
  LoraConfig lora;  // r = 0 and no prompt: full fine-tuning
  std::optional<PromptTuningOptions> prompt_tuning;
  TrainerOptions trainer;  // its seed is the seed of the stage
};
TrainingResult distill(const DistillOptions& options);
MemoryEstimate estimate_distill(const DistillOptions& options);  // loads no weights

// Stage 3: GRPO with the composed reward, from the distilled model. `reasoning` is the folder of
// construct.
struct ReinforceOptions {
  std::string data, model, recommender, reasoning, out, dtype = "float32";
  RewardOptions reward;
  int64_t length_limit =
      0;  // tokens where the length penalty is complete, 0: the completion's budget
  Curriculum curriculum;
  std::vector<double> reward_weights;  // alpha, beta, gamma; empty: the curriculum decides
  bool rank_credit = true;  // r_rank for misses, from the answer probabilities of the rollout
  double sft_share = 0.4;
  int64_t limit = 0;
  int64_t eval_rows = 500;
  int64_t samples = 8;        // completions written at every logging step
  int64_t check_rewards = 0;  // > 0: only roll out and score that many prompts
  GrpoOptions grpo{.lambda_format = 0.1};
  LoraConfig lora;  // r = 0 and no prompt: full fine-tuning
  std::optional<PromptTuningOptions> prompt_tuning;
  TrainerOptions trainer{.learning_rate = 1e-4, .lr_scheduler_type = "constant", .weight_decay = 0};
};
TrainingResult reinforce(const ReinforceOptions& options);
MemoryEstimate estimate_reinforce(const ReinforceOptions& options);  // loads no weights

// The end that both training stages share: the one loop with validation by the headline protocol,
// labelled by the stage unless told otherwise, then the complete model folder. `Options` is
// DistillOptions or ReinforceOptions.
template <typename Options>
TrainingResult train_model(Objective& objective, const Workspace& workspace,
                           const LoadedModel& model, const ModelCard& card,
                           const Options& options) {
  TrainerOptions trainer = options.trainer;
  if (trainer.label == TrainerOptions{}.label) trainer.label = card.stage;
  std::optional<RankAllocator> ranks;
  if (model.llm->lora().adalora) ranks.emplace(model.llm->parameters(), model.llm->lora());
  const TrainingResult result =
      train(objective, trainer, options.out,
            validation(workspace, model, card, options.eval_rows, trainer.seed),
            ranks ? &*ranks : nullptr);
  if (ranks) model.llm->adapters().set_rank_pattern(ranks->rank_pattern());
  finish_model_folder(*model.llm, options.model, card, options.out);
  return result;
}

}  // namespace etrlrec
