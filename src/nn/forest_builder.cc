#include "nn/forest_builder.h"

#include <algorithm>

namespace etrlrec {

int64_t common_prefix(std::span<const int64_t> a, std::span<const int64_t> b) {
  const size_t most = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + static_cast<int64_t>(most), b.begin()).first -
         a.begin();
}

int64_t ForestBuilder::child(int64_t node, int64_t token) const {
  const std::vector<int64_t>& children = this->node(node).children;
  const auto found = std::find_if(children.rbegin(), children.rend(), [&](int64_t child) {
    return this->node(child).tokens[0] == token;
  });
  return found == children.rend() ? -1 : *found;
}

// Puts a new node with the first `tokens` tokens of `child` between it and its parent. The child
// keeps its index, since sequences end at its end.
int64_t ForestBuilder::split(int64_t node, int64_t child, int64_t tokens) {
  const int64_t upper = num_nodes();
  Node& lower = nodes_[static_cast<size_t>(child)];
  Node between{lower.begin, lower.begin + tokens, lower.tokens.first(static_cast<size_t>(tokens)),
               {child},     lower.sequences,      {}};
  lower.begin += tokens;
  lower.tokens = lower.tokens.subspan(static_cast<size_t>(tokens));
  std::vector<int64_t>& siblings = nodes_[static_cast<size_t>(node)].children;
  *std::find(siblings.begin(), siblings.end(), child) = upper;
  nodes_.push_back(std::move(between));
  return upper;
}

int64_t ForestBuilder::add(std::span<const int64_t> sequence, int64_t label) {
  int64_t node = kRoot;
  nodes_[kRoot].sequences.push_back(label);
  for (int64_t depth = 0; depth < std::ssize(sequence);) {
    const std::span<const int64_t> rest = sequence.subspan(static_cast<size_t>(depth));
    int64_t child = this->child(node, rest[0]);
    if (child < 0) {
      child = num_nodes();
      nodes_[static_cast<size_t>(node)].children.push_back(child);
      nodes_.push_back({depth, std::ssize(sequence), rest, {}, {}, {}});
    } else if (const int64_t common = common_prefix(this->node(child).tokens, rest);
               common < std::ssize(this->node(child).tokens)) {
      child = split(node, child, common);
    }
    node = child;
    nodes_[static_cast<size_t>(node)].sequences.push_back(label);
    depth = this->node(node).end;
  }
  nodes_[static_cast<size_t>(node)].ends.push_back(label);
  return node;
}

std::vector<int64_t> ForestBuilder::children_by_token(int64_t node) const {
  std::vector<int64_t> children = this->node(node).children;
  std::sort(children.begin(), children.end(), [&](int64_t a, int64_t b) {
    return this->node(a).tokens[0] < this->node(b).tokens[0];
  });
  return children;
}

void ForestBuilder::append_segments(int64_t parent, const IsShared& is_shared,
                                    const Append& append) const {
  append_node(kRoot, parent, 0, is_shared, append);
}

// Tokens [depth, end of the node) of the sequences below are not in a segment yet.
void ForestBuilder::append_node(int64_t node, int64_t parent, int64_t depth,
                                const IsShared& is_shared, const Append& append) const {
  const Node& here = this->node(node);
  const int64_t tokens = here.end - depth;
  if (tokens > 0 && is_shared(tokens, std::ssize(here.sequences), here.children.empty())) {
    parent = append(parent, depth, here.end, here.sequences);
    depth = here.end;
  } else if (tokens > 0 && !here.ends.empty()) {
    const std::span<const int64_t> ends = here.ends;
    const size_t at_once = is_shared(tokens, std::ssize(ends), true) ? ends.size() : 1;
    for (size_t first = 0; first < ends.size(); first += at_once)
      append(parent, depth, here.end, ends.subspan(first, at_once));
  }
  for (const int64_t child : here.children) append_node(child, parent, depth, is_shared, append);
}

}  // namespace etrlrec
