#include "engine/item_trie.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "nn/forest_builder.h"

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
  items_.resize(sequences.size());
  std::iota(items_.begin(), items_.end(), 0);
  std::stable_sort(items_.begin(), items_.end(), [&](int64_t a, int64_t b) {
    return sequences[static_cast<size_t>(a)] < sequences[static_cast<size_t>(b)];
  });
  ForestBuilder tree;  // labels: places in items_
  for (size_t k = 0; k < items_.size(); ++k)
    tree.add(sequences[static_cast<size_t>(items_[k])], static_cast<int64_t>(k));
  // Nodes are appended level by level; each is a number of tokens of a run of the tree.
  struct Place {
    int64_t run, depth;
  };
  std::vector<Place> places;
  const auto add_node = [&](int64_t run, int64_t token, int64_t depth) {
    const std::vector<int64_t>& below = tree.node(run).sequences;
    places.push_back({run, depth});
    tokens_.push_back(token);
    begin_.push_back(below.front());
    end_.push_back(below.back() + 1);
  };
  add_node(ForestBuilder::kRoot, -1, 0);
  for (size_t node = 0; node < places.size(); ++node) {
    const auto [index, depth] = places[node];
    const ForestBuilder::Node& run = tree.node(index);
    first_child_.push_back(static_cast<int64_t>(tokens_.size()));
    if (depth < run.end) {
      add_node(index, run.tokens[static_cast<size_t>(depth - run.begin)], depth + 1);
      continue;
    }
    CHECK(run.ends.empty() || run.children.empty(), kInput,
          "item trie: the tokens of item {} begin those of item {}\nhint: append the token that "
          "ends a title to all of them",
          items_[static_cast<size_t>(run.sequences.front())],
          items_[static_cast<size_t>(run.sequences.back())]);
    for (const int64_t child : run.children) add_node(child, tree.node(child).tokens[0], depth + 1);
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
