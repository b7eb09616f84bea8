// BPE over characters with a visible space, U+2581: the layout of SentencePiece BPE models in
// tokenizer.json (Llama 2, Phi-3, Mistral). Characters outside the vocabulary become byte tokens
// <0xNN> or the unknown token. Internal to text/; others use tokenizer.h.
#pragma once

#include <unordered_map>

#include "text/bpe.h"

namespace etrlrec {

struct CharBpeSettings {
  // Space put in front of a text: kPrepend always, the others only when it starts with none.
  enum class Prefix : int8_t { kNone, kPrepend, kUnlessSpace, kUnlessSpaceAtStart };
  Prefix prefix = Prefix::kNone;
  bool split_words = false;   // merges do not cross a space
  bool strips_space = false;  // decode drops one space at the start
  bool byte_fallback = false;
  bool fuse_unk = false;  // neighbouring unknown characters become one token
  int64_t unk_id = -1;
};

class CharBpeTokenizer final : public Tokenizer {
 public:
  // `characters`: ids of the tokens that are one character, by code point.
  CharBpeTokenizer(BpeVocabulary vocabulary, std::unordered_map<uint32_t, uint32_t> characters,
                   const CharBpeSettings& settings);
  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary_.tokens.size()); }
  // Bytes that are not UTF-8 become byte tokens or unknown. kInput: an unknown character in a
  // vocabulary without unknown token.
  std::vector<int64_t> encode(std::string_view text) const override { return encode(text, true); }
  std::vector<int64_t> encode_after_special(std::string_view text) const override {
    return encode(text, false);
  }
  std::vector<int64_t> encode_prompt(std::string_view text, bool parse_special) const override;
  std::string decode(std::span<const int64_t> ids) const override;
  std::string token_text(int64_t id) const override;
  int64_t special_id(std::string_view name) const override { return added_token(name).id; }
  AddedToken added_token(std::string_view name) const override;
  std::vector<std::string> added_token_names() const override {
    return names_of(vocabulary_.specials);
  }
  int64_t eos_id() const override;

 private:
  std::vector<int64_t> encode(std::string_view text, bool at_start) const;
  bool has_prefix(std::string_view text, bool at_start) const;
  void append_unknown(std::string_view bytes, std::vector<uint32_t>& word) const;

  BpeVocabulary vocabulary_;
  std::unordered_map<uint32_t, uint32_t> characters_;
  CharBpeSettings settings_;
  AddedVocabulary added_;  // for encode_prompt
};

}  // namespace etrlrec
