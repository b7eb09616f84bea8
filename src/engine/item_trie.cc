#include "engine/item_trie.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace etrlrec {

ItemTrie::ItemTrie(std::span<const std::vector<int64_t>> sequences, int64_t vocab_size) {
  CHECK(!sequences.empty(), kInput, "item trie: expected at least one item");
  for (size_t i = 0; i < sequences.size(); ++i) {
    CHECK(!sequences[i].empty(), kInput,
          "item trie: item {}: expected at least one token, found none", i);
    for (int64_t id : sequences[i])
      CHECK(id >= 0 && id < vocab_size, kInput,
            "item trie: item {}: token id {} is not in the vocabulary of {}", i, id, vocab_size);
    max_length_ = std::max(max_length_, static_cast<int64_t>(sequences[i].size()));
  }
  const auto sequence = [&](int64_t k) -> const std::vector<int64_t>& {
    return sequences[static_cast<size_t>(items_[static_cast<size_t>(k)])];
  };
  items_.resize(sequences.size());
  std::iota(items_.begin(), items_.end(), 0);
  std::stable_sort(items_.begin(), items_.end(), [&](int64_t a, int64_t b) {
    return sequences[static_cast<size_t>(a)] < sequences[static_cast<size_t>(b)];
  });
  tokens_.push_back(-1);
  begin_.push_back(0);
  end_.push_back(static_cast<int64_t>(items_.size()));
  // Nodes are appended level by level; those of one level have the same number of tokens.
  size_t depth = 0, level_end = 1;
  for (size_t node = 0; node < tokens_.size(); ++node) {
    if (node == level_end) {
      ++depth;
      level_end = tokens_.size();
    }
    first_child_.push_back(static_cast<int64_t>(tokens_.size()));
    const int64_t end = end_[node];
    int64_t k = begin_[node];
    // A sequence that ends here sorts before all that continue.
    if (sequence(k).size() == depth) {
      CHECK(sequence(end - 1).size() == depth, kInput,
            "item trie: the tokens of item {} begin those of item {}\nhint: append the token that "
            "ends a title to all of them",
            items_[static_cast<size_t>(k)], items_[static_cast<size_t>(end - 1)]);
      continue;
    }
    while (k < end) {
      const int64_t token = sequence(k)[depth], begin = k;
      while (k < end && sequence(k)[depth] == token) ++k;
      tokens_.push_back(token);
      begin_.push_back(begin);
      end_.push_back(k);
    }
  }
  first_child_.push_back(static_cast<int64_t>(tokens_.size()));
}

std::span<const int64_t> ItemTrie::tokens(int64_t node) const {
  const auto begin = first_child_[static_cast<size_t>(node)],
             end = first_child_[static_cast<size_t>(node) + 1];
  return std::span(tokens_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

int64_t ItemTrie::child(int64_t node, int64_t token) const {
  const std::span<const int64_t> allowed = tokens(node);
  const auto it = std::lower_bound(allowed.begin(), allowed.end(), token);
  return it != allowed.end() && *it == token ? first_child(node) + (it - allowed.begin()) : -1;
}

std::span<const int64_t> ItemTrie::items(int64_t node) const {
  const auto begin = static_cast<size_t>(begin_[static_cast<size_t>(node)]);
  return std::span(items_).subspan(begin,
                                   static_cast<size_t>(end_[static_cast<size_t>(node)]) - begin);
}

int64_t ItemTrie::find(std::span<const int64_t> sequence) const {
  int64_t node = kRoot;
  for (int64_t token : sequence) {
    node = child(node, token);
    if (node < 0) return -1;
  }
  return is_leaf(node) ? node : -1;
}

}  // namespace etrlrec
