// BPE over characters read from tokenizer.json (Llama 2, Phi-3, Mistral). The combinations
// of normalizer, pre-tokenizer and decoder that converters of SentencePiece models write are read,
// everything else is refused by name. Internal to text/.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "text/char_bpe.h"

namespace etrlrec {

// `root`, `config` and `name` are as for read_byte_level. Errors (kInput) name what is not
// supported.
std::unique_ptr<CharBpeTokenizer> read_char_bpe(const nlohmann::json& root, std::string_view config,
                                                const std::string& name);

}  // namespace etrlrec
