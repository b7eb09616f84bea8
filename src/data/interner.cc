#include "data/interner.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr size_t kShort = sizeof(uint64_t), kFirstSlots = 1 << 10, kBlockBytes = 1 << 16;

uint64_t key_of(std::string_view text) {
  if (text.size() > kShort) return std::hash<std::string_view>()(text);
  uint64_t key = 0;
  std::memcpy(&key, text.data(), text.size());
  return key;
}

// The finaliser of MurmurHash3: every bit of the key moves the low bits of the place.
size_t place_of(uint64_t key) {
  key ^= key >> 33;
  key *= 0xff51afd7ed558ccdu;
  key ^= key >> 33;
  key *= 0xc4ceb9fe1a85ec53u;
  return key ^ key >> 33;
}

}  // namespace

bool Interner::is(const Slot& slot, uint64_t key, std::string_view text) const {
  return slot.key == key && slot.size == text.size() &&
         (text.size() <= kShort || texts_[static_cast<size_t>(slot.index)] == text);
}

int32_t Interner::index(std::string_view text) {
  if (2 * texts_.size() >= slots_.size()) grow();
  const uint64_t key = key_of(text);
  const size_t mask = slots_.size() - 1;
  size_t place = place_of(key) & mask;
  for (; slots_[place].index >= 0; place = (place + 1) & mask) {
    if (is(slots_[place], key, text)) return slots_[place].index;
  }
  CHECK(texts_.size() < size_t{INT32_MAX} && text.size() < size_t{UINT32_MAX}, kInput,
        "more than {} different ids", INT32_MAX);
  slots_[place] = {key, static_cast<uint32_t>(text.size()), static_cast<int32_t>(texts_.size())};
  texts_.push_back(stored(text));
  return slots_[place].index;
}

void Interner::grow() {
  std::vector<Slot> old(std::max(kFirstSlots, 2 * slots_.size()));
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.index < 0) continue;
    size_t place = place_of(slot.key) & mask;
    while (slots_[place].index >= 0) place = (place + 1) & mask;
    slots_[place] = slot;
  }
}

std::string_view Interner::stored(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > block_left_) {
    block_left_ = std::max(kBlockBytes, text.size());
    blocks_.push_back(std::make_unique<char[]>(block_left_));
    end_ = blocks_.back().get();
  }
  char* begin = end_;
  std::memcpy(begin, text.data(), text.size());
  end_ += text.size();
  block_left_ -= text.size();
  return {begin, text.size()};
}

}  // namespace etrlrec
