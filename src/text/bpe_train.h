// Training of byte-level BPE on documents, with words that must be one token each. Pair counts are
// kept up to date word by word; the most frequent pair comes from a heap with lazy counts. Required
// words are trained first and alone, then the documents continue from there. No two merges give the
// same token, so the segmentation of training is the one the encoder finds later.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

struct BpeTrainingOptions {
  int64_t vocab_size = 2048;  // bytes + specials + merges
  std::vector<std::string> special_tokens{"<|endoftext|>"};
  bool split_digits = false;  // false: numbers up to three digits stay one piece (\p{N}{1,3})
  // Each becomes exactly one token, e.g. " drama", "7": they are merged before anything else. Each
  // must be one piece for the pre-tokenizer (kUsage). A space followed by a number (" 20") makes
  // numbers take their leading space everywhere.
  std::vector<std::string> required_words{};
  // Each becomes one token beyond vocab_size, matched before the text is cut into pieces
  // (text/phrases.h): distinct valid UTF-8.
  std::vector<std::string> phrases{};
};
// The pieces into which training under `options` cuts a text: each of them can be a required word.
std::vector<std::string> training_pieces(std::string_view text, const BpeTrainingOptions& options);
// Trains byte-level BPE on documents and writes tokenizer.json, tokenizer_config.json and
// special_tokens_map.json into `folder`, readable by Hugging Face `tokenizers`; the first special
// token is the end token and has id 0. Pieces are cut by the Qwen2 pattern (split_digits) or the
// Llama 3 one. Deterministic: ties between equally frequent pairs go to the smaller pair of ids.
// Stops early when no pair occurs twice.
void train_bpe(std::span<const std::string> documents, const BpeTrainingOptions& options,
               const std::filesystem::path& folder);

}  // namespace etrlrec
