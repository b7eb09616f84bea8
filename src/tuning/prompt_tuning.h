// Prompt tuning (Lester et al. 2021, arXiv 2104.08691): trained embeddings of virtual tokens. They
// are the parameter "prompt_embeddings" [num_virtual_tokens * num_transformer_submodules, C]; token
// id V + k of a model with V tokens is row k, so that virtual tokens may stand anywhere in a token
// forest, in front of a text above all. PEFT's folder is read and written.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/parameters.h"

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
};

// Freezes every parameter and adds a trainable prompt. embed_tokens [V, C] of any storage type
// (nn/weight.h). Errors (kUsage):
// no virtual tokens, unknown start, a prompt that is there already.
void attach_prompt(ParameterMap& parameters, const at::Tensor& embed_tokens,
                   const PromptTuningConfig& config, uint64_t seed);
// The ids of the virtual tokens in order, to be put in front of a row.
std::vector<int64_t> virtual_token_ids(int64_t vocab_size, const PromptTuningConfig& config);

// Rows of the prompt that is attached, 0 without one.
int64_t num_virtual_tokens(const ParameterMap& parameters);
// num_virtual_tokens of a PEFT folder, 0 when it holds no prompt. Reads adapter_config.json only.
int64_t saved_virtual_tokens(const std::filesystem::path& folder);

// adapter_config.json + adapter_model.safetensors ("prompt_embeddings").
void save_prompt(const ParameterMap& parameters, const PromptTuningConfig& config,
                 const std::string& base_model, const std::filesystem::path& folder,
                 const std::string& task_type = "CAUSAL_LM");
// Freezes every parameter and adds the prompt of a folder, trainable. Errors: kModel for another
// method or a width that is not that of embed_tokens, kInput for a damaged folder.
PromptTuningConfig load_prompt(ParameterMap& parameters, const at::Tensor& embed_tokens,
                               const std::filesystem::path& folder);

}  // namespace etrlrec
