// Pre-tokenizers of tokenizer.json: steps that cut a normalised text into pieces, which the model
// encodes one by one. All of Hugging Face `tokenizers` are read but UnicodeScripts. Internal to
// text/.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "text/normalizer_steps.h"

namespace etrlrec {

using PreTokenizerStep = std::function<void(std::vector<Piece>&)>;

// The steps of a "pre_tokenizer" (null: none), Sequences taken apart. Errors (kInput, with `name`):
// an unknown type, damaged settings.
std::vector<PreTokenizerStep> read_pre_tokenizer(const nlohmann::json& pre_tokenizer,
                                                 const std::string& name);

}  // namespace etrlrec
