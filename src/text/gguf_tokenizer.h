// The tokenizer of a GGUF file as the files of a Hugging Face folder: tokenizer.json and
// tokenizer_config.json with the chat template. Kinds "gpt2" (byte-level BPE with merges) and
// "llama" (BPE over characters, whose merges follow from the scores of its pieces).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/gguf_file.h"

namespace etrlrec {

// Writes both files. Tokens keep their ids; unused ones that only fill up the embedding are left
// out. Errors (kInput): another kind of tokenizer, an unknown tokenizer.ggml.pre, lists of
// different lengths, tokens that are no UTF-8 or occur twice, ids beyond the tokens.
// tokenizer.ggml.pre "default", or none, says nothing: the pattern is then that of the architecture
// (qwen2, qwen3), of Llama 3 where its begin token is there, else GPT-2's, and a warning says so.
void write_gguf_tokenizer(const GgufFile& file, const std::filesystem::path& folder);

// Number of tokens, those that fill up included.
int64_t gguf_num_tokens(const GgufFile& file);
// The tokens that end a text: of the end and of a turn, in this order, each once; maybe none.
std::vector<int64_t> gguf_end_tokens(const GgufFile& file);

}  // namespace etrlrec
