// The tokens that a model expects in front of a raw text (Llama: its begin token; GPT-2 and Qwen:
// none), as the files of its folder say. Chat templates write theirs out, so they are not for
// chats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "text/tokenizer.h"

namespace etrlrec {

// add_bos_token of tokenizer_config.json decides where it is given; else what the post-processor of
// tokenizer.json puts in front; else, without tokenizer.json, Llama's tokenizer class has one.
// Errors (kInput): a post-processor of another kind, a begin token that is no token.
std::vector<int64_t> begin_tokens(const std::filesystem::path& folder, const Tokenizer& tokenizer);

}  // namespace etrlrec
