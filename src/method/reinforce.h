// Stage 3 of the method (method.md G.3, G.5, G.6): GRPO with the composed reward, from the
// distilled model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "method/memory_estimate.h"
#include "method/prompt_adapter.h"
#include "train/grpo.h"
#include "train/reward.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

// Stage 3: GRPO with the composed reward, from the distilled model. `reasoning` is the folder of
// construct.
struct ReinforceOptions {
  std::string data, model, recommender, reasoning, out, dtype = "float32";
  Numerics numerics;
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

}  // namespace etrlrec
