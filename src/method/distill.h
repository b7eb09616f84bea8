// Stage 2 of the method (method.md G.2): a student language model learns the teacher's reasoning
// and answers, or the answers alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "method/memory_estimate.h"
#include "method/prompt_adapter.h"
#include "train/sft.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

// Stage 2: the student is trained on the reasoning (or on the answers alone: label_only). `out`
// becomes a complete model folder that also holds the checkpoints and metrics of the run.
struct DistillOptions {
  std::string data, reasoning, model, out, dtype = "float32";
  Numerics numerics;
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

}  // namespace etrlrec
