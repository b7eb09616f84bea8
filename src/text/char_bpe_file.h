// BPE over characters read from tokenizer.json (Llama 2, Phi-3, Mistral): the compositions of
// normalizer, pre-tokenizer and decoder that converters of SentencePiece models write. Internal to
// text/.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "text/char_bpe.h"

namespace etrlrec {

// What the steps and the model of the file say, without the id of the unknown token; none where
// CharBpeTokenizer does not do exactly that.
std::optional<CharBpeSettings> char_bpe_settings(const nlohmann::json& root,
                                                 const std::string& name);
// Whether the file says exactly what CharBpeTokenizer does, its added tokens included.
bool is_char_bpe(const nlohmann::json& root, const std::string& name);

// For files of which is_char_bpe is true. `root`, `config` and `name` are as for read_byte_level.
std::unique_ptr<CharBpeTokenizer> read_char_bpe(const nlohmann::json& root, std::string_view config,
                                                const std::string& name);

}  // namespace etrlrec
