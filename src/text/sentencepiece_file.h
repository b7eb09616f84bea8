// What must be known of a SentencePiece model before the library may read it: the library trusts
// the tables of a file, so every index that it would follow is checked first. Internal to text/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

struct SentencePieceFile {
  enum class Type : int { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;
    Type type = Type::kNormal;
  };
  std::vector<Piece> pieces;
  bool adds_space = true;  // in front of a text
};

// Reads the protocol buffer of a whole file. Errors (kInput), with `name` and the reason: cut off,
// not a SentencePiece model, a model other than unigram and BPE, tables that point outside of
// themselves, pieces that would let a text open or close something (user-defined markers).
SentencePieceFile read_sentencepiece_file(std::string_view bytes, const std::string& name);

}  // namespace etrlrec
