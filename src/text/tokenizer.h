// Tokenizers turn text into token ids and back, all through one interface. tokenizer_folder.h loads
// them, bpe_train.h trains one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

struct AddedToken {
  int64_t id = -1;
  bool lstrip = false, rstrip = false;  // takes the white space on that side of it
  bool is_phrase = false;  // ordinary text that encode() takes as one token (text/phrases.h)
  bool is_special = true;
  bool single_word = false;  // only where no letter or digit is next to it
  bool normalized = false;   // looked for in the normalised text
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocab_size() const = 0;
  // Titles, messages and other outside text. Special tokens, and added tokens written like <this>
  // or [this], are *not* recognised: outside text cannot open or close anything. Other added tokens
  // are ordinary text and are (AddedToken::is_phrase).
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  // A prompt that the user typed, as Transformers encodes it: added tokens that are not special
  // (<a_1> of semantic ids) are recognised, special ones only with parse_special. No begin or end
  // token is put around it.
  virtual std::vector<int64_t> encode_prompt(std::string_view text,
                                             [[maybe_unused]] bool parse_special) const {
    return encode(text);
  }
  // Text after a special token: differs where only the start of a text gets a space.
  virtual std::vector<int64_t> encode_after_special(std::string_view text) const {
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
  // Names that added_token() knows: those that a chat template may print.
  virtual std::vector<std::string> added_token_names() const = 0;
  virtual int64_t eos_id() const = 0;
};

}  // namespace etrlrec
