// SentencePiece models (`spiece.model` of T5, `tokenizer.model` of Llama 2), encoded by the
// SentencePiece library; decoding and special tokens are ours. Internal to text/; others use
// tokenizer.h.
#pragma once

#include "text/bpe.h"

namespace etrlrec {

// What the files next to the model say.
struct SentencePieceExtras {
  AddedTokens added{};      // ids of pieces, or after them
  std::string eos_token{};  // "": the model's own
  // false: no space in front of text after a special token, which the library has no way to say.
  bool legacy = true;
};

// Control pieces and the unknown piece are special tokens too. Text that is not UTF-8 is read with
// U+FFFD in place of the bad bytes. Errors (kInput): a damaged file; (kModel): extras that do not
// fit the model, text after a special token when not legacy.
std::unique_ptr<Tokenizer> parse_sentencepiece(std::string_view bytes, SentencePieceExtras extras,
                                               const std::string& name);

}  // namespace etrlrec
