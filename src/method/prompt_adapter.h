// --adapter prompt: what its options mean for a model folder. Only the embeddings of the virtual
// tokens are trained; the folder that training fills holds the base's weights as they are, the
// prompt in adapter/ and its length in etrlrec.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "method/model_folder.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {

struct PromptTuningOptions {                  // names of PEFT
  int64_t num_virtual_tokens = 0;             // 0: those of the folder's own prompt
  std::string prompt_tuning_init = "random";  // random | sample_vocab | text
  std::string prompt_tuning_init_text;        // text: its tokens, repeated or cut
};

// Before the weights are loaded: gives the opened model the virtual tokens that are to be trained,
// so that its texts begin with them. Returns the prompt to attach once they are loaded
// (models/llm_adapters.h), of 0 tokens when the folder has one, which is trained further. Errors
// (kUsage): no number of tokens, a start or another number for a prompt that is there, and training
// of anything else (no options) below a trained prompt.
PromptTuningConfig plan_prompt(const std::filesystem::path& folder,
                               const std::optional<PromptTuningOptions>& options,
                               LoadedModel& model);

}  // namespace etrlrec
