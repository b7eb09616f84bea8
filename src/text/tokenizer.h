// Tokenizers: text <-> token ids. Read are the BPE layouts of Hugging Face `tokenizer.json` (bytes:
// GPT-2, Qwen2 to Qwen3, Llama 3; characters: Llama 2, Phi-3) and SentencePiece models (T5, Llama
// 2); byte-level BPE is also trained and written here. Unknown models, normalizers, pre-tokenizers
// or decoders are an error that names them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

struct AddedToken {
  int64_t id = -1;
  bool lstrip = false, rstrip = false;  // takes the white space on that side of it
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocab_size() const = 0;
  // Special tokens in `text` are *not* recognised: outside text cannot open or close anything.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  // Text that stands behind a special token: differs where only the start of a text gets a space.
  virtual std::vector<int64_t> encode_behind_special(std::string_view text) const {
    return encode(text);
  }
  virtual std::string decode(
      std::span<const int64_t> ids) const = 0;  // special tokens are written out
  // Text of one id inside of a text: the token_texts in a row are decode(), but for a space that
  // decode drops at the very start (tokenizers that put one there).
  virtual std::string token_text(int64_t id) const { return decode(std::span(&id, 1)); }
  virtual int64_t special_id(
      std::string_view name) const = 0;  // e.g. "<|endoftext|>"; error when unknown
  virtual AddedToken added_token(std::string_view name) const { return {special_id(name)}; }
  virtual int64_t eos_id() const = 0;
};

// tokenizer.json of the folder, else its SentencePiece model (spiece.model or tokenizer.model). A
// Unigram tokenizer.json is served by the model beside it, whose pieces must be the same. Errors:
// kInput for a missing, damaged or unsupported file, kModel for files that do not fit together.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

struct BpeTrainingOptions {
  int64_t vocab_size = 2048;  // bytes + specials + merges
  std::vector<std::string> special_tokens{"<|endoftext|>"};
  bool split_digits = false;  // false: numbers up to three digits stay one piece (\p{N}{1,3})
  // Each becomes exactly one token, e.g. " drama", "7": they are merged before anything else. Each
  // must be one piece for the pre-tokenizer (kUsage). A space followed by a number (" 20") makes
  // numbers take their leading space everywhere.
  std::vector<std::string> required_words{};
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
