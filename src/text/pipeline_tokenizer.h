// A tokenizer.json as Hugging Face `tokenizers` runs it, step by step: added tokens are found, the
// text between them is normalised and cut into pieces, the model encodes every piece. It takes any
// composition; text/bpe.h, text/char_bpe.h and text/wordpiece.h are fast ways of the frequent ones.
// Internal to text/; others use tokenizer.h.
#pragma once

#include <memory>
#include <vector>

#include "text/added_vocabulary.h"
#include "text/bpe.h"
#include "text/decoder_steps.h"
#include "text/normalizer_steps.h"
#include "text/pre_tokenizer_steps.h"
#include "text/token_model.h"
#include "text/tokenizer.h"

namespace etrlrec {

struct PipelineParts {
  AddedVocabulary::Tokens added{};
  std::vector<NormalizerStep> normalizer{};
  std::vector<PreTokenizerStep> pre_tokenizer{};
  std::unique_ptr<TokenModel> model{};
  std::vector<DecoderStep> decoder{};
  int64_t eos_id = -1;  // -1: none is named
};

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(PipelineParts parts);
  int64_t vocab_size() const override { return static_cast<int64_t>(texts_.size()); }
  // Bytes that are not UTF-8 are read as U+FFFD. Special tokens and those written like <this> come
  // out of no text here, not even where the model knows them as pieces.
  std::vector<int64_t> encode(std::string_view text) const override;
  std::vector<int64_t> encode_after_special(std::string_view text) const override;
  std::vector<int64_t> encode_prompt(std::string_view text, bool parse_special) const override;
  std::string decode(std::span<const int64_t> ids) const override;
  std::string token_text(int64_t id) const override;
  int64_t special_id(std::string_view name) const override { return added_token(name).id; }
  AddedToken added_token(std::string_view name) const override;
  std::vector<std::string> added_token_names() const override { return names_of(by_content_); }
  int64_t eos_id() const override;

 private:
  std::vector<int64_t> run(std::string_view text, bool is_at_start, AddedTokenUse use,
                           bool is_plain) const;
  void encode_piece(Piece piece, bool is_plain, std::vector<int64_t>& ids) const;
  const std::string& text_of(int64_t id) const;  // as the file writes it
  std::string decoded(TokenTexts tokens) const;

  PipelineParts parts_;
  AddedVocabulary added_;
  AddedTokens by_content_;
  std::vector<std::string> texts_;
  std::vector<bool> is_used_;
};

}  // namespace etrlrec
