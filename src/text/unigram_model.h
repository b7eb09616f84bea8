// Unigram language models of tokenizer.json (Kudo 2018): the pieces whose scores add up to most.
// Internal to text/.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/token_model.h"

namespace etrlrec {

// Errors (kInput, with `name`): a damaged vocabulary, an unk_id outside of it.
std::unique_ptr<TokenModel> read_unigram_model(const nlohmann::json& model,
                                               const std::string& name);

}  // namespace etrlrec
