#include "data/interner.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/check.h"

namespace etrlrec {
namespace {

static_assert(std::endian::native == std::endian::little, "short texts are little-endian keys");

constexpr size_t kFirstSlots = 1 << 10, kBlockBytes = 1 << 16;

// The finaliser of MurmurHash3: every bit of the key moves the low bits of the place.
size_t place_of(uint64_t key) {
  key ^= key >> 33;
  key *= 0xff51afd7ed558ccdu;
  key ^= key >> 33;
  key *= 0xc4ceb9fe1a85ec53u;
  return key ^ key >> 33;
}

}  // namespace

Interner::Short Interner::short_text(std::string_view text) {
  const char* begin = text.data();
  const size_t size = text.size();
  uint64_t key = 0;
  if (size >= 4) {  // two halves that may overlap
    uint32_t first = 0, last = 0;
    std::memcpy(&first, begin, 4);
    std::memcpy(&last, begin + size - 4, 4);
    key = first | uint64_t{last} << 8 * (size - 4);
  } else {
    for (size_t i = size; i-- > 0;) key = key << 8 | static_cast<unsigned char>(begin[i]);
  }
  return {key, static_cast<uint32_t>(size)};
}

void Interner::prefetch(Short text) const {
  if (!slots_.empty()) __builtin_prefetch(&slots_[place_of(text.key) & (slots_.size() - 1)]);
}

template <typename IsEqual>
int32_t Interner::find(uint64_t key, std::string_view text, const IsEqual& is_equal) {
  if (4 * texts_.size() >= 3 * slots_.size()) grow();
  const size_t mask = slots_.size() - 1;
  size_t place = place_of(key) & mask;
  for (; slots_[place].index >= 0; place = (place + 1) & mask) {
    const Slot& slot = slots_[place];
    if (slot.key == key && slot.size == text.size() && is_equal(slot)) return slot.index;
  }
  CHECK(texts_.size() < size_t{INT32_MAX} && text.size() < size_t{UINT32_MAX}, kInput,
        "more than {} different ids", INT32_MAX);
  slots_[place] = {key, static_cast<uint32_t>(text.size()), static_cast<int32_t>(texts_.size())};
  texts_.push_back(stored(text));
  return slots_[place].index;
}

int32_t Interner::index(Short text) {
  // Little-endian, as the key was made.
  return find(text.key, {reinterpret_cast<const char*>(&text.key), text.size},
              [](const Slot&) { return true; });
}

int32_t Interner::index(std::string_view text) {
  if (is_short(text)) return index(short_text(text));
  return find(std::hash<std::string_view>()(text), text,
              [&](const Slot& slot) { return texts_[static_cast<size_t>(slot.index)] == text; });
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
