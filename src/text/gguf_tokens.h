// What reading and writing the tokenizer of a GGUF file share: types of tokens, the names of
// pre-tokenizers, merges that follow from scores. Internal to text/.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/split_patterns.h"

namespace etrlrec {

// tokenizer.ggml.token_type
enum GgufTokenType : int64_t {
  kOrdinaryToken = 1,
  kUnknownToken,
  kControlToken,
  kUserDefinedToken,
  kUnusedToken,
  kByteToken
};

// A tokenizer.ggml.pre. Rows of the same meaning: the first one is written.
struct GgufPre {
  const char* name;
  PatternKind pattern;
  bool normalizes, ignores_merges;  // NFC; pieces that are tokens are taken whole
  bool begins;                      // a begin token in front unless the file says otherwise
};
const std::vector<GgufPre>& gguf_pre_tokenizers();

// The normalizer of "llama": spaces made visible, one put in front of a text where it adds_space.
nlohmann::ordered_json visible_space_normalizer(bool adds_space);

// Merges of SentencePiece BPE, as "LEFT RIGHT": every cut of an ordinary piece into two pieces; the
// better the score of the whole the earlier, longer parts first among equals, as converters to
// tokenizer.json order them. The three lists are of one length, the texts UTF-8.
std::vector<std::string> merges_of_scores(const std::vector<std::string_view>& texts,
                                          const std::vector<int64_t>& types,
                                          const std::vector<double>& scores);

}  // namespace etrlrec
