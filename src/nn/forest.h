// The token forest: segments of tokens that share prefixes. A token attends to all tokens of its
// ancestor segments and causally to its own segment. It is the only form of input of the language
// models (docs/architecture.md): one root per row for mixed lengths, a prompt root with G
// completions below it for GRPO, a trie of titles for ranking.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace etrlrec {

struct Segment {
  int64_t begin = 0, end = 0;  // tokens [begin, end) of the forest
  int64_t parent = -1;         // index of an earlier segment, -1 for a root
};

struct TokenForest {
  std::vector<int64_t> ids;        // [T]
  std::vector<int64_t> positions;  // [T] distance from the root's first token
  std::vector<Segment> segments;   // parents before children; consecutive in ids

  // Appends a segment of at least one token and returns its index. Children of one parent are best
  // added in a row: attention then batches their queries against the parent's keys.
  int64_t add(int64_t parent, std::span<const int64_t> tokens);
  int64_t num_tokens() const { return static_cast<int64_t>(ids.size()); }
};

}  // namespace etrlrec
