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
#include "models/llm.h"
#include "models/t5.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct MemoryEstimate {
  std::vector<std::pair<std::string, int64_t>> parts;  // what, bytes; held at the same time
  int64_t tokens = 0;                                  // work: tokens through the model
  double flops = 0;

  int64_t total() const;
};

int64_t num_parameters(const LlmConfig& config);
int64_t num_parameters(const T5Config& config);
int64_t weights_bytes(const LlmConfig& config, Storage storage);
int64_t num_adapter_parameters(const LlmConfig& config, const LoraConfig& lora);

// Each adds what it holds, and the work it does. Weights come with the program itself; vectors
// count as matrices.
void add_weights(const LlmConfig& config, MemoryEstimate& estimate,
                 Storage storage = Storage::kFloat);

// Rollouts of `total_rows` rows (0: as many as grow together) on prompts of `prompt_tokens` each
// that `rows_per_prompt` rows share. max_batch as in GenerationOptions.
struct RolloutLoad {
  int64_t total_rows = 1, rows_per_prompt = 1, prompt_tokens = 0, new_tokens = 0, max_batch = 0;
};
void add_rollouts(const LlmConfig& config, const RolloutLoad& load, MemoryEstimate& estimate,
                  Storage storage = Storage::kFloat);
// The same of T5, whose prompts are read by the encoder.
void add_weights(const T5Config& config, MemoryEstimate& estimate);
void add_rollouts(const T5Config& config, const RolloutLoad& load, MemoryEstimate& estimate);

// Passes over forests of at most `tokens` tokens without gradient; `passes` of them.
void add_forward(const LlmConfig& config, int64_t tokens, int64_t passes, MemoryEstimate& estimate);

// What a training changes: all weights, or those of an adapter on a frozen base.
struct TrainedPart {
  int64_t parameters = 0;
  bool is_adapter = false;
  bool averaged = false;  // --ema-decay keeps another copy
};
// Training: gradients and AdamW's two moments of what is trained, activations of one micro-batch of
// at most `tokens` tokens; `total_tokens` over all steps.
void add_training(const LlmConfig& config, const TrainedPart& trained, int64_t tokens,
                  int64_t total_tokens, Storage storage, MemoryEstimate& estimate);

// ask_language_model on all requests; prompts are as long as the longest of some of them.
MemoryEstimate estimate_asking(const LoadedModel& model, const Catalogue& catalogue,
                               std::span<const Request> requests, const ProtocolOptions& protocol);
// Training on rows of these lengths, the longest ones of a micro-batch together, but at most
// `tokens_per_pass` (0: no limit) and a row; they hold the virtual tokens of a prompt, which alone
// is trained then.
MemoryEstimate estimate_training(const LlmConfig& config, const LoraConfig& lora,
                                 const TrainerOptions& trainer, std::vector<int64_t> row_tokens,
                                 int64_t tokens_per_pass = 0, Storage storage = Storage::kFloat,
                                 int64_t num_virtual_tokens = 0);

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
