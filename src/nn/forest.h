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
  int64_t source = -1;         // of a root: index of the source text it owns, -1: none
};

struct TokenForest {
  std::vector<int64_t> ids;        // [T]
  std::vector<int64_t> positions;  // [T] distance from the root's first token
  std::vector<Segment> segments;   // parents before children; consecutive in ids
  // What an encoder reads for the tokens below a root; empty for decoders. They are not among ids.
  std::vector<std::vector<int64_t>> sources;

  // Appends a segment of at least one token and returns its index. Children of one parent are best
  // added in a row: attention then batches their queries against the parent's keys. A root may own
  // a source text, which it shares with the root before it if that has the same.
  int64_t add(int64_t parent, std::span<const int64_t> tokens,
              std::span<const int64_t> source = {});
  int64_t num_tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t num_source_tokens() const;
};

}  // namespace etrlrec
