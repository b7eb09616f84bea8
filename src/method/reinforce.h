// Stage 3 of the method (method.md G.3, G.4, G.6): GRPO with the composed reward, from the
// distilled model.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "method/judge.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "method/prompt_adapter.h"
#include "method/row.h"
#include "method/study.h"
#include "models/recommender.h"
#include "train/grpo.h"
#include "train/reward.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct ReinforceOptions {
  std::string data, model, recommender, reasoning, out, dtype = "float32";
  std::string embeddings;     // folder of embed: what near misses are; empty: attributes say it
  std::string init_prompt{};  // folder of a soft prompt that texts begin with (open_with_prompt)
  Numerics numerics;
  RewardOptions reward;
  JudgeOptions judge;
  int64_t length_limit =
      0;  // tokens where the length penalty is complete, 0: the completion's budget
  int64_t length_buffer = 0;  // tokens before it in which the penalty grows, 0: a quarter of it
  Curriculum curriculum;
  std::vector<double> reward_weights;  // alpha, beta, gamma; empty: the curriculum decides
  // Of the first rollouts: where less of them are valid, training would see hardly anything to
  // reward. Whether one is valid is what the model's stage calls so.
  double min_valid = 0.1;
  bool rank_credit = true;  // r_rank for misses, from the answer probabilities of the rollout
  // Only for a model whose folder does not say which rows it was distilled on: their share; the
  // seed of the run is taken as the seed of that distillation.
  std::optional<double> sft_share;
  int64_t limit = 0;  // prompts, drawn by the seed; 0: all
  int64_t eval_rows = 500;
  int64_t samples = 8;  // completions written at every logging step
  GrpoOptions grpo{.lambda_format = 0.1};
  LoraConfig lora;  // r = 0 and no prompt: full fine-tuning
  std::optional<PromptTuningOptions> prompt_tuning;
  TrainerOptions trainer{.learning_rate = 1e-4,
                         .lr_scheduler_type = "constant",
                         .weight_decay = 0,
                         .stop_on_collapse = true};
};

// Everything that reinforce reads, except the weights of the model.
struct ReinforceSetup {
  ReinforceOptions options;
  std::unique_ptr<const Study> study;
  RowSource source;
  LoadedModel model;
  PromptPlan prompt;                                 // attached once the weights are loaded
  ModelCard card;                                    // of the result
  std::unique_ptr<Recommender> recommender;          // null: its weight is 0
  std::unique_ptr<const KnowledgeSource> knowledge;  // of the same folder; null: prompts show none
  at::Tensor item_embeddings;                        // undefined: attributes
  ClaimWeights claim_weights;                        // empty: every claim weighs one bit
  GrpoOptions grpo;                                  // complete: with tags, budgets and end token
  std::vector<GrpoRow> rows;
};

// Rows that were trained by distillation are never rolled out: the model's folder names them. Nor
// are rows that the recommender may have learned from (method.md G.3 (3)). Errors: kModel for a
// model that was not trained on this data set or candidate file, or a reasoning folder of another
// data set or style; kUsage where the folder does not name its distillation rows and sft_share is
// missing, where sft_share contradicts the folder, where prompts show patterns and no recommender
// is given, or for a judge of a model that does not reason (check_judge); kInput where no row is
// left.
ReinforceSetup setup(const ReinforceOptions& options);
// Memory and work of run().
MemoryEstimate plan(const ReinforceSetup& setup);
// `out` becomes a complete model folder. An interrupted run continues. Error (kMemory) where the
// plan does not fit, and (kModel) where too few rollouts of the untrained policy are valid.
TrainingResult run(ReinforceSetup setup);
TrainingResult reinforce(const ReinforceOptions& options);  // run(setup(options))

// Rollouts of some prompts, scored with the weights of the first step; nothing is trained.
struct RewardCheck {
  struct Sample {
    int64_t row = 0;
    double reward = 0;
    std::string text;
    std::string explanation;  // in sentences (temporal/explanation.h); empty: nothing was claimed
  };
  int64_t prompts = 0, completions = 0;
  double valid = 0, reward = 0, zero_variance_share = 0;  // means over completions; of groups
  std::map<std::string, double> parts;                    // means
  std::vector<Sample> samples;                            // the first few
};
RewardCheck check_rewards(ReinforceSetup setup, int64_t prompts);
std::string format_check(const RewardCheck& check);

}  // namespace etrlrec
