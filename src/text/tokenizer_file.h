// tokenizer.json in the layout of Hugging Face `tokenizers`: what its two kinds of BPE share. What
// would change the ids and is not implemented is refused by name (kInput). The post-processor is
// not used: encode never adds special tokens. Added tokens that are special or written like <this>
// are in no text, whatever their flags: `normalized` then makes no difference, lstrip and rstrip
// matter in encode_chat, single_word is refused. Others are phrases of ordinary text; byte-level
// BPE takes them as one token each, the other kinds refuse them. Internal to text/.
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
void check_model_settings(const nlohmann::json& root, const nlohmann::json& model,
                          const std::string& name);

void put_token(BpeVocabulary& vocabulary, int64_t id, std::string bytes, bool special,
               const std::string& name);
// The flags of one added token; its id is left to the caller.
AddedToken parse_added_token(const nlohmann::json& token, const std::string& content,
                             const std::string& name);
void refuse_phrase(const AddedToken& token, const std::string& content, const std::string& name);
// `entries`: model.vocab. Phrases go to vocabulary.phrases, or are refused without
// `takes_phrases`; other added tokens go to vocabulary.specials.
void parse_added_tokens(const nlohmann::json& root, const nlohmann::json& entries,
                        bool takes_phrases, BpeVocabulary& vocabulary, const std::string& name);
void parse_merges(const nlohmann::json& model, const IdsByToken& ids, TokenSpelling spelling,
                  BpeVocabulary& vocabulary, const std::string& name);
// Id of the end token named by `config`, -1 where none is.
int64_t parse_eos(std::string_view config, const AddedTokens& tokens, const std::string& name);

}  // namespace etrlrec
