#include "models/t5_trees.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace etrlrec {
namespace {

// The segments of every tree, in the order of the forest.
std::vector<std::vector<int64_t>> segments_of_trees(const TokenForest& forest) {
  std::vector<std::vector<int64_t>> trees;
  std::vector<size_t> tree_of(forest.segments.size());
  for (size_t s = 0; s < forest.segments.size(); ++s) {
    const int64_t parent = forest.segments[s].parent;
    if (parent < 0) {
      tree_of[s] = trees.size();
      trees.emplace_back();
    } else {
      tree_of[s] = tree_of[static_cast<size_t>(parent)];
    }
    trees[tree_of[s]].push_back(static_cast<int64_t>(s));
  }
  return trees;
}

// Every segment continues the one before it.
bool is_chain(const TokenForest& forest, const std::vector<int64_t>& segments) {
  for (size_t i = 1; i < segments.size(); ++i)
    if (forest.segments[static_cast<size_t>(segments[i])].parent != segments[i - 1]) return false;
  return true;
}

// Bias of a tree with branches, [1, H, T, T]: that of the positions, -inf where a token is not on
// the path of the query.
at::Tensor tree_bias(const TokenForest& forest, const std::vector<int64_t>& segments,
                     const std::vector<int64_t>& tokens, const T5Stack& decoder,
                     const T5Config& config) {
  const auto count = std::ssize(tokens);
  std::vector<int64_t> first(forest.segments.size(), -1), positions;  // first place of a segment
  int64_t next = 0;
  for (int64_t s : segments) {
    const Segment& segment = forest.segments[static_cast<size_t>(s)];
    first[static_cast<size_t>(s)] = next;
    next += segment.end - segment.begin;
  }
  for (int64_t token : tokens) positions.push_back(forest.positions[static_cast<size_t>(token)]);
  at::Tensor hidden = at::ones({count, count}, at::kBool);
  auto* data = hidden.data_ptr<bool>();
  for (int64_t s : segments) {
    const Segment& segment = forest.segments[static_cast<size_t>(s)];
    for (int64_t i = 0; i < segment.end - segment.begin; ++i) {
      bool* row = data + (first[static_cast<size_t>(s)] + i) * count;
      std::fill_n(row + first[static_cast<size_t>(s)], i + 1, false);
      for (int64_t a = segment.parent; a >= 0; a = forest.segments[static_cast<size_t>(a)].parent) {
        const Segment& above = forest.segments[static_cast<size_t>(a)];
        std::fill_n(row + first[static_cast<size_t>(a)], above.end - above.begin, false);
      }
    }
  }
  const at::Tensor position = at::tensor(positions, at::kLong);
  return relative_bias(decoder, config, false, position.unsqueeze(0) - position.unsqueeze(1))
      .masked_fill(hidden, -std::numeric_limits<float>::infinity());
}

}  // namespace

T5Trees plan_trees(const TokenForest& forest, const T5Stack& decoder, const T5Config& config) {
  CHECK(forest.num_tokens() > 0, kInput, "T5: expected at least one row of tokens");
  T5Trees plan;
  for (const std::vector<int64_t>& segments : segments_of_trees(forest)) {
    std::vector<int64_t> tokens;
    for (int64_t s : segments) {
      const Segment& segment = forest.segments[static_cast<size_t>(s)];
      for (int64_t t = segment.begin; t < segment.end; ++t) tokens.push_back(t);
    }
    const auto length = std::ssize(tokens);
    const bool chain = is_chain(forest, segments);
    const bool joins = chain && !plan.runs.empty() && !plan.runs.back().bias.defined() &&
                       plan.lengths.back() == length;
    if (!joins) plan.runs.emplace_back();
    plan.runs.back().rows += 1;
    plan.runs.back().tokens += length;
    if (chain) {
      plan.longest = std::max(plan.longest, length);
    } else {
      plan.runs.back().bias = tree_bias(forest, segments, tokens, decoder, config);
    }
    plan.lengths.push_back(length);
    plan.order.insert(plan.order.end(), tokens.begin(), tokens.end());
  }
  if (std::is_sorted(plan.order.begin(), plan.order.end())) {
    plan.order.clear();
    return plan;
  }
  plan.place.resize(plan.order.size());
  for (size_t i = 0; i < plan.order.size(); ++i)
    plan.place[static_cast<size_t>(plan.order[i])] = static_cast<int64_t>(i);
  return plan;
}

}  // namespace etrlrec
