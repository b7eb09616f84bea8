// Dense indices for strings in order of first appearance: a table with open addressing, short
// strings inside it, long ones in an arena.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

class Interner {
 public:
  // Adds what is new. Error (kInput): more than INT32_MAX different strings.
  int32_t index(std::string_view text);

  // A text of at most 8 bytes in a register. Callers who know some of them before they ask for an
  // index prefetch their places: the table is larger than the caches.
  struct Short {
    uint64_t key = 0;
    uint32_t size = 0;
  };
  static bool is_short(std::string_view text) { return text.size() <= sizeof(Short::key); }
  static Short short_text(std::string_view text);
  void prefetch(Short text) const;
  int32_t index(Short text);

  int64_t size() const { return static_cast<int64_t>(texts_.size()); }
  std::string_view text(int32_t index) const { return texts_[static_cast<size_t>(index)]; }

 private:
  struct Slot {
    uint64_t key = 0;   // a short string itself, the hash of a long one
    uint32_t size = 0;  // of the string
    int32_t index = -1;
  };
  template <typename IsEqual>
  int32_t find(uint64_t key, std::string_view text, const IsEqual& is_equal);
  void grow();
  std::string_view stored(std::string_view text);

  std::vector<Slot> slots_;
  std::vector<std::string_view> texts_;  // by index, into blocks_
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* end_ = nullptr;  // of what the last block holds
  size_t block_left_ = 0;
};

}  // namespace etrlrec
