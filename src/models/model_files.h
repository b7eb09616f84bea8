// Language models by the model_type of config.json: the one place that knows all families. A
// decoder that computes as Llama does is a row of kFamilies in model_files.cc and of kModelTypes in
// decoder_config.cc; another architecture is a unit that implements LanguageModel and a row here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "models/language_model.h"

namespace etrlrec {

// Whether the folder has a config.json whose model_type is no recommender's
// (models/recommenders.h). An unknown type counts as a language model: opening it names the known
// ones.
bool is_language_model_folder(const std::filesystem::path& folder);
// What config.json says, without weights: facts, costs, and parameters that are shapes only (meta
// tensors). Error (kModel) for an unknown model_type names the known ones; kUsage for a storage
// that the family cannot have (T5: float32 only).
std::unique_ptr<LanguageModel> open_language_model(const std::filesystem::path& folder,
                                                   Storage storage = Storage::kFloat,
                                                   const Numerics& numerics = {});
// The same with the weights (models/weights.h: which files).
std::unique_ptr<LanguageModel> load_language_model(const std::filesystem::path& folder,
                                                   Storage storage = Storage::kFloat,
                                                   const Numerics& numerics = {});

}  // namespace etrlrec
