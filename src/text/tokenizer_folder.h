// From the files of a model folder to its tokenizer: Hugging Face `tokenizer.json` of any
// composition and SentencePiece models (T5, Llama 2). The frequent compositions have fast ways of
// their own: BPE over bytes (GPT-2, Qwen2 to Qwen3, Llama 3, SmolLM2) and over characters (Llama 2,
// Phi-3), BERT's WordPiece. Unknown models, normalizers, pre-tokenizers or decoders are an error
// that names them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace etrlrec {

// tokenizer.json of the folder, else its SentencePiece model (spiece.model or tokenizer.model). A
// Unigram tokenizer.json with the model beside it is served by that, whose pieces must be the same.
// Errors: kInput for a missing, damaged or unsupported file, kModel for files that do not fit
// together.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

// tokenizer.json from its text. `config`
// (tokenizer_config.json or special_tokens_map.json, may be empty) names the end token; `name` is
// used in errors.
std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view json, std::string_view config,
                                           const std::string& name);

}  // namespace etrlrec
