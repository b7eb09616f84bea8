// BPE as a model of tokenizer.json in all its settings: unknown tokens, alone or fused, bytes for
// characters that are none, marks of continuation and end, whole words first. Internal to text/;
// text/bpe.h and text/char_bpe.h are its fast ways.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/token_model.h"

namespace etrlrec {

// Errors (kInput, with `name`): dropout, damaged vocabulary or merges, an unknown token that is
// none. A character that is neither a token nor bytes becomes the unknown token; without one it is
// left out.
std::unique_ptr<TokenModel> read_bpe_model(const nlohmann::json& model, const std::string& name);

}  // namespace etrlrec
