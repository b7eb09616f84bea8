// The tokenizer of a Hugging Face folder as metadata of a GGUF file: the way back of
// text/gguf_tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/gguf_writer.h"

namespace etrlrec {

// Puts tokens, merges or scores, special tokens and the chat template. The list of tokens is filled
// up to `vocab_size`. end_tokens: those of the configuration; the tokenizer's own goes first, and
// GGUF has names for three. Errors: kInput for a damaged tokenizer, kModel for one that GGUF cannot
// say so that the same ids come out of it: without tokenizer.json, a pre-tokenizer without a name
// there, spaces made visible in another way, merges that no scores give, several begin tokens, more
// than three end tokens, more tokens than vocab_size.
void put_gguf_tokenizer(const std::filesystem::path& folder, int64_t vocab_size,
                        const std::vector<int64_t>& end_tokens, GgufWriter& writer);

}  // namespace etrlrec
