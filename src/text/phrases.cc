#include "text/phrases.h"

#include "base/check.h"

namespace etrlrec {
namespace {

uint64_t edge(uint32_t node, char byte) {
  return uint64_t{node} << 8 | static_cast<unsigned char>(byte);
}

}  // namespace

void Phrases::add(std::string_view phrase, uint32_t id) {
  CHECK(!phrase.empty(), kInput, "phrase {}: expected a text, found none", id);
  uint32_t node = 0;
  for (const char byte : phrase) {
    const auto [child, is_new] =
        children_.emplace(edge(node, byte), static_cast<uint32_t>(ids_.size()));
    if (is_new) ids_.push_back(kNone);
    node = child->second;
  }
  ids_[node] = id;
}

Phrases::Match Phrases::find(std::string_view text, size_t from) const {
  Match best;
  for (size_t begin = from; begin < text.size() && best.length == 0; ++begin) {
    uint32_t node = 0;
    for (size_t i = begin; i < text.size(); ++i) {
      const auto child = children_.find(edge(node, text[i]));
      if (child == children_.end()) break;
      node = child->second;
      if (ids_[node] != kNone) best = {begin, i + 1 - begin, ids_[node]};
    }
  }
  return best;
}

}  // namespace etrlrec
