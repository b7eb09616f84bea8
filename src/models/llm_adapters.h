// Adapter folders and language models: loading whatever a folder holds, merging with a check.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "models/llm.h"

namespace etrlrec {

// Loads a PEFT folder by its peft_type: LORA and ADALORA as the adapter "default", PROMPT_TUNING as
// the model's prompt. Returns the tokens that every row begins with, the virtual ones of a prompt.
// Errors: kModel for another type, and those of load_lora and load_prompt.
std::vector<int64_t> load_adapter(Llm& model, const std::filesystem::path& folder);

// Merges the selected adapter and compares the logits of a few rows of random tokens before and
// after (AdapterSet::merge_verified). Returns the largest difference; error (kNumbers) when it is
// not small.
double merge_adapter(Llm& model);

}  // namespace etrlrec
