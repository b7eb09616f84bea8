// Added tokens: texts that are one token each and are found before a text is cut into pieces, as
// Hugging Face `tokenizers` finds them: from left to right, at every place the longest; those that
// are not `normalized` first, the others in the normalised rest. Internal to text/.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/phrases.h"
#include "text/tokenizer.h"

namespace etrlrec {

// Which added tokens a text may hold.
enum class AddedTokenUse : int8_t {
  kPhrases,     // ordinary text that is one token (AddedToken::is_phrase)
  kNotSpecial,  // all but special ones, which stay text
  kAll,
};

class AddedVocabulary {
 public:
  using Tokens = std::vector<std::pair<std::string, AddedToken>>;
  using Normalize = std::function<std::string(std::string_view)>;

  AddedVocabulary() = default;
  // `normalize` (may be empty) says what the contents of `normalized` tokens become.
  AddedVocabulary(const Tokens& tokens, const Normalize& normalize);

  struct Part {
    size_t begin = 0, end = 0;
    int64_t id = -1;  // -1: text
  };
  // The parts of a text in order; what lstrip and rstrip take belongs to no text.
  std::vector<Part> cut(std::string_view text, bool is_normalized, AddedTokenUse use) const;
  bool has_normalized() const { return !normalized_.all.empty(); }

  // Ids of a text whose parts between added tokens encode_text(part, is_at_start) encodes.
  std::vector<int64_t> encode(
      std::string_view text, AddedTokenUse use,
      const std::function<std::vector<int64_t>(std::string_view, bool)>& encode_text) const;

 private:
  struct Finders {
    Phrases all, phrases;  // their ids are places in tokens_
  };
  std::vector<AddedToken> tokens_;
  Finders raw_, normalized_;
  Normalize normalize_;
};

}  // namespace etrlrec
