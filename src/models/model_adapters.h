// PEFT folders and models of every family: loading whatever a folder holds, writing it again,
// merging with a check.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/language_model.h"

namespace etrlrec {

struct LoadedAdapter {
  std::string peft_type;  // LORA | ADALORA | PROMPT_TUNING
  std::string name;
  // Of a prompt, else empty. Every prompt of a model begins with those of all its soft prompts.
  std::vector<int64_t> virtual_tokens;
};
// Loads a PEFT folder under a name by its peft_type: LoRA and AdaLoRA into adapters(), a prompt
// into prompts(). Errors: kUsage for a name that is taken, kModel for another type, and those of
// AdapterSet::load and PromptSet::load.
LoadedAdapter load_adapter(LanguageModel& model, const std::filesystem::path& folder,
                           const std::string& name = "default");
// Attaches a new trainable soft prompt (PromptSet::attach).
void attach_prompt(LanguageModel& model, const PromptTuningConfig& config, uint64_t seed,
                   const std::string& name = "default");

// PEFT's name of what the model does: CAUSAL_LM | SEQ_2_SEQ_LM.
std::string task_type(const LanguageModel& model);
// Writes the selected adapter, or a soft prompt, as a PEFT folder.
void save_adapter(const LanguageModel& model, const std::string& base_model,
                  const std::filesystem::path& folder);
void save_prompt(const LanguageModel& model, const std::string& name, const std::string& base_model,
                 const std::filesystem::path& folder);

// Merges the selected adapter and compares the logits of a few rows of random tokens before and
// after (AdapterSet::merge_verified), with activations in fp32 even where the model rounds them:
// rounding would hide what the merge changes. Returns the largest difference; error (kNumbers) when
// it is not small.
double merge_adapter(LanguageModel& model);

}  // namespace etrlrec
