// The table of normalisation of SentencePiece models ("precompiled_charsmap"): a double-array trie
// of characters and short sequences with their replacements. Internal to text/.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

class Charsmap {
 public:
  // The size of the trie in bytes, its units, and the replacements, each ended by a zero. Errors
  // (kInput, with `name`): damaged sizes, replacements that are no UTF-8.
  Charsmap(std::string_view bytes, const std::string& name);
  static Charsmap of_base64(std::string_view text, const std::string& name);

  // Whether an entry begins `text`; then the replacement of the shortest.
  bool find(std::string_view text, std::string_view& replacement) const;
  // Graphemes of fewer than six bytes are replaced as a whole, the characters of others one by one.
  // on_part(before, after) sees all parts in order.
  void normalize(std::string_view text,
                 const std::function<void(std::string_view, std::string_view)>& on_part) const;

 private:
  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace etrlrec
