// tokenizer.json in the layout of Hugging Face `tokenizers`: what its readers share. A fast way
// (two kinds of BPE, BERT's WordPiece) reads a file that says exactly what it does, the pipeline
// (text/pipeline_file.h) all others. The post-processor is not used: encode never adds special
// tokens. Added tokens that are neither special nor written like <this> are phrases of ordinary
// text. Internal to text/.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "text/bpe.h"

namespace etrlrec {

using IdsByToken = std::unordered_map<std::string, uint32_t>;  // added tokens left out
// Bytes of a token as the file writes it; false: not a token of this kind of vocabulary.
using TokenSpelling = bool (*)(std::string_view written, std::string& bytes);

// Written like <this> or [this]: nothing that ordinary text would hold.
bool is_marker(std::string_view content);
int byte_of(std::string_view written);              // of a token written <0xNN>, -1 for others
std::string with_spaces(std::string_view written);  // U+2581 as a space

std::string type_of(const nlohmann::json& value);  // for choices and errors: also "null", "no type"
bool absent(const nlohmann::json& object, const char* key);  // or null
std::string model_type(const nlohmann::json& root, const std::string& name);
// root.model, whose type must be the given one.
const nlohmann::json& checked_model(const nlohmann::json& root, std::string_view type,
                                    const std::string& name);

// Whether object[key] is `value`; where it is missing or null, whether `fallback` is.
bool is_set(const nlohmann::json& object, const char* key, const nlohmann::json& value,
            const nlohmann::json& fallback);
// Whether a BPE model merges plainly: no dropout, no marks of continuation and end.
bool merges_plainly(const nlohmann::json& model);
// Whether phrases, if a fast way takes any, have no flags, and (`normalizes`: there is a
// normalizer) whether no added token is looked for in normalised text. Malformed ones: false.
bool has_plain_added_tokens(const nlohmann::json& root, bool takes_phrases, bool normalizes);

void put_token(BpeVocabulary& vocabulary, int64_t id, std::string bytes, bool special,
               const std::string& name);
// The flags of one added token; its id is left to the caller.
AddedToken parse_added_token(const nlohmann::json& token, const std::string& content,
                             const std::string& name);
// `entries`: model.vocab. Phrases go to vocabulary.phrases, other added tokens to
// vocabulary.specials, all to vocabulary.added.
void parse_added_tokens(const nlohmann::json& root, const nlohmann::json& entries,
                        BpeVocabulary& vocabulary, const std::string& name);
void parse_merges(const nlohmann::json& model, const IdsByToken& ids, TokenSpelling spelling,
                  BpeVocabulary& vocabulary, const std::string& name);
// "eos_token" of `config` (the text of a JSON object, may be empty), else with `or_sep` its
// "sep_token", which ends a text of BERT; "" where none is named.
std::string end_token_name(std::string_view config, bool or_sep, const std::string& name);
// Id of the end token named by `config`, -1 where none is.
int64_t parse_eos(std::string_view config, const AddedTokens& tokens, const std::string& name);

}  // namespace etrlrec
