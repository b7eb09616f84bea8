// Sequences of tokens merged into a tree: what sequences begin with in common is one node.
// Everything that lays shared text out as a token forest is built on it: answers and titles below a
// prefix, rows of a micro-batch, prompts that enter a cache, the titles of a catalogue.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace etrlrec {

// The number of tokens that both begin with.
int64_t common_prefix(std::span<const int64_t> a, std::span<const int64_t> b);

// A compressed prefix tree (Morrison 1968, PATRICIA). Order is insertion order everywhere: of the
// children of a node (by the first sequence that passes them) and of the labels at a node.
// Sequences that are added in ascending order therefore come out in ascending order, depth first.
class ForestBuilder {
 public:
  static constexpr int64_t kRoot = 0;

  // A run of tokens that the same sequences pass. A sequence may end at the end of a run only.
  struct Node {
    int64_t begin = 0, end = 0;       // the run is tokens [begin, end) of every sequence below
    std::span<const int64_t> tokens;  // [end - begin]; at least one, none at the root
    std::vector<int64_t> children;    // their first tokens differ
    std::vector<int64_t> sequences;   // labels of the sequences that end here or below
    std::vector<int64_t> ends;        // labels of the sequences that end here; equal ones
  };

  ForestBuilder() : nodes_(1) {}
  // Adds a sequence, which outlives the builder, and returns the node at whose end it ends; the
  // index stays valid. An empty sequence ends at the root. Children are searched from the last one,
  // so sequences in ascending order cost no search.
  int64_t add(std::span<const int64_t> sequence, int64_t label);

  const Node& node(int64_t index) const { return nodes_[static_cast<size_t>(index)]; }
  int64_t num_nodes() const { return static_cast<int64_t>(nodes_.size()); }
  // The child whose run begins with `token`, -1: none.
  int64_t child(int64_t node, int64_t token) const;
  std::vector<int64_t> children_by_token(int64_t node) const;  // in ascending order of first tokens

  // Whether `tokens` tokens, which `sequences` sequences share, are worth a segment of their own;
  // all_equal: none of them goes on after these tokens.
  using IsShared = std::function<bool(int64_t tokens, int64_t sequences, bool all_equal)>;
  // Appends tokens [begin, end) of these sequences after the segment `parent`; returns the
  // segment.
  using Append = std::function<int64_t(int64_t parent, int64_t begin, int64_t end,
                                       std::span<const int64_t> sequences)>;
  // Lays the tree out below `parent` (-1: as roots), depth first: a node before its children, the
  // sequences that end at a node before those that go on. Where tokens are not worth a segment each
  // child, and each sequence that ends there, repeats them.
  void append_segments(int64_t parent, const IsShared& is_shared, const Append& append) const;

 private:
  int64_t split(int64_t node, int64_t child, int64_t tokens);
  void append_node(int64_t node, int64_t parent, int64_t depth, const IsShared& is_shared,
                   const Append& append) const;

  std::vector<Node> nodes_;
};

}  // namespace etrlrec
