// A language model as every command reads and writes it: a complete Hugging Face folder
// (config.json, model.safetensors, tokenizer.json …) plus etrlrec.json, which ties it to the item
// table and the prompt it was trained with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "eval/protocol.h"
#include "models/llm.h"
#include "temporal/prompts.h"
#include "text/tokenizer.h"

namespace etrlrec {

struct ModelCard {             // etrlrec.json
  std::string stage = "base";  // base | label-only | distill | reinforce
  std::string catalogue_hash;  // of the data set it was trained on; empty for a base model
  PromptOptions prompt;
  int64_t max_reasoning_tokens = 160;
  std::string parent;  // folder name of the model it was trained from
  // Of the trained prompt in adapter/, which is not merged and stands in front of every text; 0:
  // none.
  int64_t num_virtual_tokens = 0;
  // int8 or bfloat16: an adapter was merged into weights that --dtype had rounded to it, and they
  // keep that rounding; empty: float32.
  std::string merged_dtype;
  // Of the tokenizer's files, "" where they have none or one that is not known (text/chat.h). Set
  // when the folder is written.
  std::string chat_template;
};

struct LoadedModel {
  LlmConfig config;
  Storage storage = Storage::kFloat;  // of the weights, once they are loaded
  std::unique_ptr<Llm> llm;           // nullptr: without weights
  std::unique_ptr<Tokenizer> tokenizer;
  ModelCard card;
  std::vector<int64_t> virtual_tokens;  // in front of every text

  // Virtual tokens and those of the text.
  std::vector<int64_t> encode(const std::string& text) const;
  // Views of this, once the weights are loaded.
  LanguageModel language_model(const Catalogue& catalogue) const {
    return {*llm, *tokenizer, catalogue, virtual_tokens};
  }
};

// `catalogue_hash`: of the data set it is to be used with; another item table is an error (kModel)
// that says so. Empty: not checked. Another chat template than the one that etrlrec.json names, or
// one that this program renders in another way (its hash), is an error (kModel).
LoadedModel load_model_folder(const std::filesystem::path& folder,
                              const std::string& catalogue_hash);
// All but the weights: for estimates. `dtype`: of the weights (parse_storage).
LoadedModel open_model_folder(const std::filesystem::path& folder,
                              const std::string& catalogue_hash,
                              const std::string& dtype = "float32");
// The weights of an opened folder, in its storage type, and its trained prompt. Error (kModel) when
// the prompt in adapter/ is not the one that etrlrec.json tells of.
void load_weights_of(const std::filesystem::path& folder, LoadedModel& loaded);
// The folder of a model folder's trained prompt; empty when it has none.
std::filesystem::path prompt_folder(const std::filesystem::path& folder);
// Copies the tokenizer files of `parent`, and where the model has a prompt its configuration and
// weights, too: they are not changed by training. Atomic; replaces an existing folder only with
// `replace`.
void save_model_folder(const Llm& llm, const std::filesystem::path& parent, const ModelCard& card,
                       const std::filesystem::path& folder, bool replace = false);

}  // namespace etrlrec
