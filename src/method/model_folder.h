// A language model as every command reads and writes it: a complete Hugging Face folder
// (config.json, model.safetensors, tokenizer.json …) plus etrlrec.json, the card, which ties it to
// the item table and the prompts it was trained with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/protocol.h"
#include "eval/trend.h"
#include "method/distillation_rows.h"
#include "method/knowledge.h"
#include "models/language_model.h"
#include "temporal/prompts.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace etrlrec {

// A trained soft prompt that is not merged: its rows are a PEFT folder below the model's folder,
// adapter/ (the prompt "default") or adapter/NAME/.
struct SoftPrompt {
  std::string name;
  int64_t num_virtual_tokens = 0;
};

struct ModelCard {             // etrlrec.json
  std::string stage = "base";  // base | pretrain | soft-prompt | label-only | distill | reinforce
  std::string catalogue_hash;  // of the data set it was trained on; empty for a base model
  PromptOptions prompt;
  std::optional<PatternRecord> pattern;  // with knowledge pattern: what it was trained with
  int64_t max_reasoning_tokens = 160;
  // Of the last distillation; reinforce rolls out the other rows. Unknown for a base model and for
  // folders of older versions.
  std::optional<DistillationRows> distillation_rows;
  // Where the reading (pretrain --train-share) left later training interactions unread: the time of
  // the last one that was read. Later stages train on rows after it only.
  std::optional<int64_t> read_until;
  // How often items that were not read are chosen, where validation rows say so.
  std::optional<NewItemRate> new_items;
  // Of its answers among candidates (eval/calibration.h), from validation rows; 1 without any.
  double temperature = 1;
  // What is chosen lately corrects its answers (eval/trend.h), where validation rows say that it
  // helps.
  std::optional<TrendOptions> trend;
  std::string parent;  // folder name of the model it was trained from
  // In front of every text, in this order.
  std::vector<SoftPrompt> soft_prompts;
  // int8 or bfloat16: an adapter was merged into weights that --dtype had rounded to it, and they
  // keep that rounding; empty: float32.
  std::string merged_dtype;
  // Of the tokenizer's files (text/chat_recognition.h), "" where they have none: its name and what
  // decides its text. Set when the folder is written.
  std::string chat_template, chat_template_hash;
};

// A PEFT folder that belongs to a model, under the name it is loaded by.
struct NamedAdapter {
  std::string name;
  std::filesystem::path folder;
  PromptTuningConfig prompt;  // of 0 tokens for LoRA and AdaLoRA
};

// The last name of a folder, also where its path ends in "/" or "."; "" for "/".
std::string last_name(const std::filesystem::path& folder);

// The one handle of a model that commands hold.
struct LoadedModel {
  std::filesystem::path folder;
  Storage storage = Storage::kFloat;     // of the weights
  Numerics numerics;                     // of the model
  std::unique_ptr<LanguageModel> model;  // shapes only until load_weights_of
  std::unique_ptr<Tokenizer> tokenizer;
  ModelCard card;
  std::vector<NamedAdapter> adapters;  // loaded after the weights, in this order
  // Around every text that the model reads: virtual tokens of all soft prompts; the end token that
  // an encoder's text has.
  std::vector<int64_t> virtual_tokens, end_tokens;
  // Of the tokenizer's files; nothing where there is none, or where the model was trained without.
  std::optional<ChatTemplate> chat;

  // Around the prompts of a style: with those tokens, where the style speaks to chat models and the
  // model has a chat template, the rest of the chat.
  ChatFrame frame(const PromptOptions& prompt) const;
  // A prompt of the method.
  std::vector<int64_t> encode(const std::string& text) const;
  // A raw text that a user typed, to be continued after the begin tokens of the tokenizer's files,
  // or for an encoder to read. Added tokens are tokens in it, special ones only with parse_special.
  std::vector<int64_t> encode_raw(const std::string& text, bool parse_special) const;
  // How requests become prompts of this model (eval/protocol.h); refers to this.
  PromptEncoder prompt_encoder(const Catalogue& catalogue) const {
    ChatFrame around = frame(card.prompt);
    return {*tokenizer, catalogue, std::move(around.before), std::move(around.after)};
  }
};

// All but the weights: for estimates. `catalogue_hash`: of the data set it is to be used with;
// another item table is an error (kModel) that says so. Empty: not checked. `dtype`: of the weights
// (parse_storage). `adapters`: PEFT folders that are loaded on top, LoRA, AdaLoRA (one at most) and
// soft prompts: the first of each kind that the model does not have yet is "default", others have
// the names of their folders. A folder without etrlrec.json answers by title, in the natural style
// where it has a chat template. Further errors (kModel): another chat template than the one that
// etrlrec.json names, or one that this program renders in another way (its hash); a soft prompt
// that is not the one that etrlrec.json tells of.
LoadedModel open_model_folder(const std::filesystem::path& folder,
                              const std::string& catalogue_hash,
                              const std::string& dtype = "float32", const Numerics& numerics = {},
                              const std::vector<std::string>& adapters = {});
// The weights of an opened folder, in its storage type, its soft prompts and adapters.
void load_weights_of(LoadedModel& loaded);
// Both.
LoadedModel load_model_folder(const std::filesystem::path& folder,
                              const std::string& catalogue_hash, const Numerics& numerics = {});

// Error (kUsage), which says how such a model is made, for one that answers by number or lists
// candidates otherwise: it chooses among those and cannot rank a whole catalogue.
void check_answers_by_title(const LoadedModel& model);

// The card of a model that is trained from `parent`, as far as it follows from that: the parent's
// folder, its soft prompts, and the rounding that an adapter is merged into (`dtype` as for
// open_model_folder).
ModelCard child_card(const LoadedModel& parent, const LoraConfig& lora, const std::string& dtype);

// The folder of a soft prompt of a model folder.
std::filesystem::path prompt_folder(const std::filesystem::path& folder, const std::string& name);
// The soft prompts of a model folder that has a card, in order; reads no weights.
std::vector<NamedAdapter> prompts_of_folder(const std::filesystem::path& folder);
// The given PEFT folders with the names that they get in addition to what is there already. Error
// (kUsage): a second LoRA or AdaLoRA, two soft prompts of one name.
std::vector<NamedAdapter> name_adapters(const std::vector<NamedAdapter>& present,
                                        const std::vector<std::string>& folders);

// Copies the tokenizer files of `parent`, and where the model has soft prompts its configuration
// and weights, too: they are not changed by training, unless an adapter beside the prompts was
// `merged` into them. Atomic; replaces an existing folder only with `replace`.
void save_model_folder(const LanguageModel& model, const std::filesystem::path& parent,
                       const ModelCard& card, const std::filesystem::path& folder,
                       bool replace = false, bool merged = false);

}  // namespace etrlrec
