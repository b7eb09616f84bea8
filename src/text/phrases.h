// Phrases: texts of ordinary words that a vocabulary keeps as one token, e.g. the titles that a log
// repeats. They are found before the text is cut into pieces: from left to right, at every place
// the longest phrase that begins there, as Hugging Face `tokenizers` finds added tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace etrlrec {

class Phrases {
 public:
  // A phrase is not empty; a later one replaces an equal earlier one.
  void add(std::string_view phrase, uint32_t id);
  bool empty() const { return ids_.size() <= 1; }

  struct Match {
    size_t begin = 0, length = 0;  // length = 0: none
    uint32_t id = 0;
  };
  // The first match in text[from..]. Time: the length of what is searched times that of the longest
  // phrase at worst; one step at a place where no phrase begins.
  Match find(std::string_view text, size_t from) const;

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // A trie of bytes; node 0 is the root. ids_[node]: the phrase that ends there.
  std::unordered_map<uint64_t, uint32_t> children_;  // by node << 8 | byte
  std::vector<uint32_t> ids_{kNone};
};

}  // namespace etrlrec
