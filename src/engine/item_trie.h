// Exact prefix trie over the token sequences of items: which tokens may follow a path, and which
// items a complete path names. Flat arrays, breadth first, children in ascending order of their
// token. It knows nothing about models or texts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace etrlrec {

class ItemTrie {
 public:
  static constexpr int64_t kRoot = 0;

  // sequences[i]: tokens of item i in [0, vocab_size). Equal sequences share a leaf. Errors
  // (kInput): no items, an empty sequence, an id outside of the vocabulary, and a sequence that
  // begins another one: then append the token that ends a title to all of them.
  ItemTrie(std::span<const std::vector<int64_t>> sequences, int64_t vocab_size);

  int64_t num_items() const { return static_cast<int64_t>(items_.size()); }
  int64_t num_nodes() const { return static_cast<int64_t>(first_child_.size()) - 1; }
  int64_t max_length() const { return max_length_; }  // tokens of the longest sequence

  // Tokens that may follow, ascending; none at a leaf. The k-th leads to first_child(node) + k.
  std::span<const int64_t> tokens(int64_t node) const;
  int64_t first_child(int64_t node) const { return first_child_[static_cast<size_t>(node)]; }
  int64_t child(int64_t node, int64_t token) const;  // -1: not allowed here
  bool is_leaf(int64_t node) const { return tokens(node).empty(); }
  // Items below a node, ascending within a leaf; at a leaf those of the complete sequence.
  std::span<const int64_t> items(int64_t node) const;
  // The leaf of a complete sequence, -1 for anything else.
  int64_t find(std::span<const int64_t> sequence) const;

 private:
  // Nodes are numbered breadth first, so the children of node n are [first_child_[n],
  // first_child_[n + 1]).
  std::vector<int64_t> tokens_;       // [nodes] token that leads to the node; unused for the root
  std::vector<int64_t> first_child_;  // [nodes + 1]
  std::vector<int64_t> begin_, end_;  // [nodes] range of items_
  std::vector<int64_t> items_;        // in order of their sequences
  int64_t max_length_ = 0;
};

}  // namespace etrlrec
