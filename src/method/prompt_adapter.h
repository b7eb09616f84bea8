// --adapter prompt: what its options mean for a model folder. Only the embeddings of one soft
// prompt's virtual tokens are trained; the folder that training fills holds the base's weights as
// they are, its soft prompts in adapter/ and their names and lengths in etrlrec.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "method/model_folder.h"
#include "tuning/adapters.h"
#include "tuning/prompt_tuning.h"
#include "tuning/trained_tensors.h"

namespace etrlrec {

struct PromptTuningOptions {                  // names of PEFT
  int64_t num_virtual_tokens = 0;             // 0: those of the folder's own prompt
  std::string prompt_tuning_init = "random";  // random | sample_vocab | text
  std::string prompt_tuning_init_text = "";   // text: its tokens, repeated or cut
  std::string prompt_name = "default";
};

// The soft prompt that a training changes.
struct PromptPlan {
  std::string name;           // empty: none
  PromptTuningConfig config;  // of 0 tokens: the folder has it, it is trained further
  int64_t num_trained_tokens = 0;
};

// Before the weights are loaded: gives the opened model and its card the soft prompt that is to be
// trained, so that its texts begin with it. Errors (kUsage): no number of tokens, a start or
// another number for a prompt that is there, and training of all weights (no options, no rank)
// below a trained prompt; an adapter may learn beside it, DELRec's stage 2.
PromptPlan plan_prompt(const std::filesystem::path& folder,
                       const std::optional<PromptTuningOptions>& options, LoadedModel& model,
                       const LoraConfig& lora = {});
// After the weights are loaded: adds the planned prompt, if it is new, and freezes everything else.
void attach_planned_prompt(LanguageModel& model, const PromptPlan& plan, uint64_t seed);
// After prompt and adapter are attached: exactly the planned prompt or the tensors of the adapter
// are trained (TrainedTensors); nothing to check where all weights are.
std::optional<TrainedTensors> trained_tensors(const LanguageModel& model, const PromptPlan& plan);

// The PEFT folder of a soft prompt that another model starts with (--init-prompt): the folder
// itself, or that of the only prompt of a model folder. Errors: kModel for a folder without a
// prompt or a model folder with several.
std::filesystem::path init_prompt_folder(const std::filesystem::path& folder);
// open_model_folder with that prompt in front of its texts and in its card; without a folder just
// that. Warns of a prompt that was trained in front of another model. Errors: kUsage for a model
// that has a prompt; kModel for a prompt of another item table, or whose folder tells of texts that
// a trained model does not read.
LoadedModel open_with_prompt(const std::filesystem::path& folder, const std::string& catalogue_hash,
                             const std::string& dtype, const Numerics& numerics,
                             const std::string& init_prompt);

}  // namespace etrlrec
