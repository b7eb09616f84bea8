// What a sentence encoder says about the items of a catalogue: a vector for each title. Content
// recommenders (models/content.h) and the semantic term of the reward (method/reward.h) take it.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/dataset.h"

namespace etrlrec {

struct EmbedOptions {
  std::string data, model, out;  // data set, folder of a sentence encoder, new folder
  bool attributes = false;       // attributes stand behind the title
};
struct EmbedSummary {
  int64_t items = 0, dimensions = 0, tokens = 0;
};
// Writes options.out: embeddings.safetensors with "items" [items, dimensions] in fp32, each of
// length 1, and embeddings.json. Errors: those of SentenceEncoder and of the tokenizer, which must
// name [CLS] and [SEP] (kInput).
EmbedSummary embed(const EmbedOptions& options);

// Of a folder of embed. Error (kModel) where it describes another catalogue, or is none.
at::Tensor load_item_embeddings(const std::filesystem::path& folder, const Catalogue& catalogue);
// Names what a folder holds.
std::string embeddings_hash(const std::filesystem::path& folder);

}  // namespace etrlrec
