// How much memory a command on a language model takes, reckoned from config.json and the lengths of
// its texts before any weight is loaded, and whether the machine has it. Bytes in fp32; for
// --dry-run and for refusing what cannot fit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "eval/protocol.h"
#include "method/model_folder.h"
#include "models/language_model.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct MemoryEstimate {
  std::vector<std::pair<std::string, int64_t>> parts;  // what, bytes; held at the same time
  int64_t tokens = 0;                                  // work: tokens through the model
  double flops = 0;

  int64_t total() const;
};

int64_t weights_bytes(const LanguageModel& model);  // in its storage type
int64_t num_adapter_parameters(const LanguageModel& model, const LoraConfig& lora);

// Each adds what it holds, and the work it does (LanguageModel::cost). Models need no weights.
// Weights come with the program itself; vectors count as matrices.
void add_weights(const LanguageModel& model, MemoryEstimate& estimate);

// Rollouts of `total_rows` rows (0: as many as grow together) on prompts of `prompt_tokens` each
// that `rows_per_prompt` rows share. max_batch as in GenerationOptions.
struct RolloutLoad {
  int64_t total_rows = 1, rows_per_prompt = 1, prompt_tokens = 0, new_tokens = 0, max_batch = 0;
};
void add_rollouts(const LanguageModel& model, const RolloutLoad& load, MemoryEstimate& estimate);

// `passes` passes of one shape without gradient.
void add_forward(const LanguageModel& model, const PassShape& shape, int64_t passes,
                 MemoryEstimate& estimate);

// Tokens of a row of a training.
struct RowTokens {
  int64_t prompt = 0, text = 0;
};
// What a training changes: all weights, or those of an adapter or a soft prompt on a frozen base.
struct TrainedPart {
  LoraConfig lora = {};            // r = 0: no adapter
  int64_t num_virtual_tokens = 0;  // of a soft prompt, which alone is trained then
};
// Gradients and AdamW's two moments of what is trained, activations of one micro-batch: the longest
// rows together, but at most `tokens_per_pass` (0: no limit) and a row.
MemoryEstimate estimate_training(const LanguageModel& model, const TrainedPart& trained,
                                 const TrainerOptions& trainer, std::vector<RowTokens> rows,
                                 int64_t tokens_per_pass = 0);

// ask_language_model on all requests; prompts are as long as the longest of some of them.
MemoryEstimate estimate_asking(const LoadedModel& model, const Catalogue& catalogue,
                               std::span<const Request> requests, const ProtocolOptions& protocol);

// What the machine has left for this process: MemAvailable, less under a control group's limit.
int64_t available_memory();
inline constexpr const char* kTrainingMemoryHint =
    "a smaller --per-device-train-batch-size, or an adapter: --lora-r 8";
// Error (kMemory) when the estimate is more than `available`; ends in `hint`.
void check_memory(const MemoryEstimate& estimate, int64_t available, const std::string& command,
                  const std::string& hint);
// The parts, their sum and the work on stdout, as text or JSON.
void print_estimate(const MemoryEstimate& estimate, int64_t available, bool json);
std::string format_bytes(int64_t bytes);  // 1536 -> "1.5 KiB"

}  // namespace etrlrec
