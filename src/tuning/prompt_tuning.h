// Prompt tuning (Lester et al. 2021, arXiv 2104.08691): the trained embeddings of virtual tokens,
// how they start, and PEFT's folder of one prompt. Token id V + k of a model with V tokens is row k
// of its prompts, so that virtual tokens may stand anywhere in a text, above all in front of it.
// Models hold their prompts in a PromptSet (tuning/prompt_set.h).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace etrlrec {

struct PromptTuningConfig {
  int64_t num_virtual_tokens = 0;
  // PEFT makes two sets of rows for encoder-decoders unless told otherwise; only the first
  // num_virtual_tokens rows are used.
  int64_t num_transformer_submodules = 1;
  // RANDOM: N(0, 1). SAMPLE_VOCAB: random rows of the embedding table. TEXT: the rows of init_ids,
  // repeated or cut.
  std::string prompt_tuning_init = "RANDOM";
  std::vector<int64_t> init_ids = {};

  int64_t num_rows() const { return num_virtual_tokens * num_transformer_submodules; }
};

// The rows of a prompt and what PEFT says about them.
struct SavedPrompt {
  PromptTuningConfig config;
  at::Tensor rows;  // [num_rows, C]
};

// Name of the parameter that holds a prompt; is_adapter_parameter (tuning/adapters.h) knows it.
std::string prompt_parameter(const std::string& name);

// Rows of a new prompt, [num_rows, C], from a stream of (seed, name). embed_tokens [V, C] of any
// storage type. Errors: kUsage for no virtual tokens, an unknown start or TEXT without a text;
// kInput for ids outside of the vocabulary.
at::Tensor new_prompt(const at::Tensor& embed_tokens, const PromptTuningConfig& config,
                      uint64_t seed, const std::string& name = "default");
// Ids of the virtual tokens in order, to be put in front of a row; `first` is the id of row 0.
std::vector<int64_t> virtual_token_ids(int64_t first, const PromptTuningConfig& config);

// What adapter_config.json of a PEFT folder says, of 0 tokens when it holds no prompt. Errors:
// kModel for a variant that is not computed here, kInput for numbers out of range.
PromptTuningConfig read_prompt_config(const std::filesystem::path& folder);
// adapter_config.json + adapter_model.safetensors ("prompt_embeddings").
void write_prompt(const SavedPrompt& prompt, const std::string& base_model,
                  const std::filesystem::path& folder, const std::string& task_type = "CAUSAL_LM");
// Errors: kModel for another method or rows that are not of `width`, kInput for a damaged folder.
SavedPrompt read_prompt(const std::filesystem::path& folder, int64_t width);

}  // namespace etrlrec
