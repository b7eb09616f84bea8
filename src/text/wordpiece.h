// WordPiece with the normalisation of BERT: text is cleaned, lower-cased and cut at white space,
// punctuation and Chinese characters; each word becomes the longest pieces of the vocabulary from
// the left, "##" in front of those that continue it, or the unknown token as a whole. Internal to
// text/; others use tokenizer.h.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_vocabulary.h"
#include "text/tokenizer.h"

namespace etrlrec {

struct WordPieceSettings {
  bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;
  std::string prefix = "##";  // of pieces that continue a word
  int64_t max_input_chars_per_word = 100;
  bool cleanup = true;               // decode puts no space in front of punctuation
  std::string unk_token, eos_token;  // the latter may be empty: there is none
};

class WordPieceTokenizer final : public Tokenizer {
 public:
  // `tokens` by id; `added`: names that no text holds. Errors (kInput, with `name`): the unknown
  // token is not among them.
  WordPieceTokenizer(std::vector<std::string> tokens,
                     std::unordered_map<std::string, AddedToken> added, WordPieceSettings settings,
                     const std::string& name);
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  // Bytes that are not UTF-8 are left out, as control characters are.
  std::vector<int64_t> encode(std::string_view text) const override;
  std::vector<int64_t> encode_prompt(std::string_view text, bool parse_special) const override;
  std::string decode(std::span<const int64_t> ids) const override;
  std::string token_text(int64_t id) const override;
  int64_t special_id(std::string_view name) const override { return added_token(name).id; }
  AddedToken added_token(std::string_view name) const override;
  std::vector<std::string> added_token_names() const override;
  // Error (kInput) where the files name no end token.
  int64_t eos_id() const override;

 private:
  void append_word(std::u32string_view word, std::vector<int64_t>& ids) const;

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int64_t> ids_;
  std::unordered_map<std::string, AddedToken> added_;
  WordPieceSettings settings_;
  AddedVocabulary added_vocabulary_;  // for encode_prompt
  int64_t unk_id_ = -1;
};

// Whether the file says exactly what WordPieceTokenizer does.
bool is_bert_word_piece(const nlohmann::json& root, const std::string& name);
// For files of which is_bert_word_piece is true; `config` and `name` are as for read_byte_level.
std::unique_ptr<WordPieceTokenizer> read_wordpiece(const nlohmann::json& root,
                                                   std::string_view config,
                                                   const std::string& name);

}  // namespace etrlrec
