// Adapter folders and models, the same for decoders and T5: loading whatever a folder holds,
// merging with a check.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/llm.h"
#include "models/t5.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {

struct LoadedAdapter {
  std::string peft_type;      // LORA | ADALORA | PROMPT_TUNING
  PromptTuningConfig prompt;  // of prompt tuning
  // Tokens that every row begins with (T5: every row of the encoder); empty without a prompt.
  std::vector<int64_t> virtual_tokens;
};
// Loads a PEFT folder by its peft_type: LoRA and AdaLoRA as the adapter "default", a prompt as the
// model's prompt. Errors: kModel for another type, and those of load_lora and load_prompt.
LoadedAdapter load_adapter(Llm& model, const std::filesystem::path& folder);
LoadedAdapter load_adapter(T5& model, const std::filesystem::path& folder);

// A trainable prompt in front of frozen weights (tuning/prompt_tuning.h).
void attach_prompt(Llm& model, const PromptTuningConfig& config, uint64_t seed);

// Merges the selected adapter and compares the logits of a few rows of random tokens before and
// after (AdapterSet::merge_verified). Returns the largest difference; error (kNumbers) when it is
// not small.
double merge_adapter(Llm& model);
double merge_adapter(T5& model);

}  // namespace etrlrec
