// --adapter and what belongs to it: what a training changes instead of all weights, LoRA, AdaLoRA
// or a soft prompt, each with options of its own.
#pragma once

#include <optional>
#include <string>

#include "method/prompt_adapter.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct AdapterOptions {
  std::string adapter = "lora";  // lora | adalora | prompt
  LoraConfig lora;
  AdaLoraConfig adalora;
  PromptTuningOptions prompt_tuning;
  // Error (kUsage) for options of a kind that was not chosen. r == 0: no LoRA.
  LoraConfig config() const;
  std::optional<PromptTuningOptions> prompt() const;  // of --adapter prompt
};
// Error (kUsage) where weights of this type are frozen and no adapter is trained.
void check_trainable(const std::string& dtype, const AdapterOptions& adapter);

}  // namespace etrlrec
