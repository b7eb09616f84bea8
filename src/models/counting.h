// Loading of the counting models; fitting them is declared with the interface, in
// models/recommender.h.
#pragma once

#include <filesystem>
#include <memory>

#include "models/recommender.h"

namespace etrlrec {

// "popularity", "recency" or "markov" from config.json + model.safetensors; anything inconsistent
// is refused (kModel).
std::unique_ptr<Recommender> load_counting(const std::filesystem::path& folder);

}  // namespace etrlrec
