// The models of tokenizer.json that know words: WordPiece (the longest pieces from the left) and
// WordLevel (whole words only). Internal to text/; text/wordpiece.h is the fast way of BERT.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/token_model.h"

namespace etrlrec {

// Errors (kInput, with `name`): a damaged vocabulary.
std::unique_ptr<TokenModel> read_word_piece_model(const nlohmann::json& model,
                                                  const std::string& name);
std::unique_ptr<TokenModel> read_word_level_model(const nlohmann::json& model,
                                                  const std::string& name);

}  // namespace etrlrec
