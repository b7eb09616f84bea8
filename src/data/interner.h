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
  int64_t size() const { return static_cast<int64_t>(texts_.size()); }
  std::string_view text(int32_t index) const { return texts_[static_cast<size_t>(index)]; }

 private:
  struct Slot {
    uint64_t key = 0;   // a short string itself, the hash of a long one
    uint32_t size = 0;  // of the string
    int32_t index = -1;
  };
  bool is(const Slot& slot, uint64_t key, std::string_view text) const;
  void grow();
  std::string_view stored(std::string_view text);

  std::vector<Slot> slots_;
  std::vector<std::string_view> texts_;  // by index, into blocks_
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* end_ = nullptr;  // of what the last block holds
  size_t block_left_ = 0;
};

}  // namespace etrlrec
