#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "nn/forest.h"
#include "nn/forest_builder.h"

namespace etrlrec {
namespace {

using Sequences = std::vector<std::vector<int64_t>>;

// The text of a node: the tokens of all runs from the root to its end.
std::map<int64_t, std::vector<int64_t>> texts_of(const ForestBuilder& tree) {
  std::map<int64_t, std::vector<int64_t>> texts{{ForestBuilder::kRoot, {}}};
  std::vector<int64_t> open{ForestBuilder::kRoot};
  while (!open.empty()) {
    const int64_t node = open.back();
    open.pop_back();
    for (const int64_t child : tree.node(node).children) {
      texts[child] = texts[node];
      const auto run = tree.node(child).tokens;
      texts[child].insert(texts[child].end(), run.begin(), run.end());
      open.push_back(child);
    }
  }
  return texts;
}

ForestBuilder tree_of(const Sequences& sequences) {
  ForestBuilder tree;
  for (size_t k = 0; k < sequences.size(); ++k) tree.add(sequences[k], static_cast<int64_t>(k));
  return tree;
}

// Every segment of the forest as the tokens from its root to its end, in order.
struct Layout {
  TokenForest forest;
  std::vector<std::vector<int64_t>> labels;  // of each segment
  std::map<int64_t, std::vector<int64_t>> text_of_label;
};

Layout lay_out(const Sequences& sequences, const ForestBuilder::IsShared& is_shared) {
  Layout layout;
  tree_of(sequences).append_segments(
      -1, is_shared,
      [&](int64_t parent, int64_t begin, int64_t end, std::span<const int64_t> labels) {
        const auto& tokens = sequences[static_cast<size_t>(labels[0])];
        for (const int64_t label : labels) {
          auto& text = layout.text_of_label[label];
          EXPECT_EQ(std::ssize(text), begin);
          const auto& own = sequences[static_cast<size_t>(label)];
          text.insert(text.end(), own.begin() + begin, own.begin() + end);
          EXPECT_TRUE(std::equal(own.begin() + begin, own.begin() + end, tokens.begin() + begin));
        }
        layout.labels.emplace_back(labels.begin(), labels.end());
        return layout.forest.add(parent,
                                 std::span(tokens).subspan(static_cast<size_t>(begin),
                                                           static_cast<size_t>(end - begin)));
      });
  return layout;
}

TEST(CommonPrefix, counts_the_tokens_that_both_begin_with) {
  const std::vector<int64_t> a{1, 2, 3}, b{1, 2, 4, 5};
  EXPECT_EQ(common_prefix(a, b), 2);
  EXPECT_EQ(common_prefix(a, a), 3);
  EXPECT_EQ(common_prefix(a, {}), 0);
  EXPECT_EQ(common_prefix({}, {}), 0);
}

TEST(ForestBuilder, an_empty_builder_is_a_root) {
  const ForestBuilder tree;
  EXPECT_EQ(tree.num_nodes(), 1);
  EXPECT_TRUE(tree.node(ForestBuilder::kRoot).children.empty());
  EXPECT_TRUE(lay_out({}, [](int64_t, int64_t, bool) { return true; }).forest.segments.empty());
}

TEST(ForestBuilder, an_empty_sequence_ends_at_the_root) {
  ForestBuilder tree;
  EXPECT_EQ(tree.add({}, 7), ForestBuilder::kRoot);
  EXPECT_EQ(tree.node(ForestBuilder::kRoot).ends, (std::vector<int64_t>{7}));
  EXPECT_EQ(tree.num_nodes(), 1);
}

TEST(ForestBuilder, equal_sequences_end_at_one_node) {
  const Sequences sequences{{1, 2}, {1, 2}, {1, 2}};
  const ForestBuilder tree = tree_of(sequences);
  EXPECT_EQ(tree.num_nodes(), 2);
  EXPECT_EQ(tree.node(1).ends, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(tree.node(1).sequences, (std::vector<int64_t>{0, 1, 2}));
}

TEST(ForestBuilder, a_sequence_may_begin_another_and_the_returned_node_stays_valid) {
  const std::vector<int64_t> whole{1, 2, 3, 4}, half{1, 2}, other{1, 2, 9};
  ForestBuilder tree;
  const int64_t end = tree.add(whole, 0), middle = tree.add(half, 1), branch = tree.add(other, 2);
  EXPECT_EQ(tree.node(end).ends, (std::vector<int64_t>{0}));
  EXPECT_EQ(tree.node(end).begin, 2);
  EXPECT_EQ(tree.node(end).end, 4);
  EXPECT_EQ(tree.node(middle).ends, (std::vector<int64_t>{1}));
  EXPECT_EQ(tree.node(middle).sequences, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(tree.node(middle).children, (std::vector<int64_t>{end, branch}));
  EXPECT_EQ(tree.child(middle, 9), branch);
  EXPECT_EQ(tree.child(middle, 4), -1);
}

TEST(ForestBuilder, children_keep_the_order_of_insertion_or_of_their_tokens) {
  const Sequences sequences{{5, 1}, {2}, {9, 9}, {2, 4}, {5, 0}};
  const ForestBuilder tree = tree_of(sequences);
  std::vector<int64_t> first, sorted;
  for (int64_t child : tree.node(ForestBuilder::kRoot).children)
    first.push_back(tree.node(child).tokens[0]);
  for (int64_t child : tree.children_by_token(ForestBuilder::kRoot))
    sorted.push_back(tree.node(child).tokens[0]);
  EXPECT_EQ(first, (std::vector<int64_t>{5, 2, 9}));
  EXPECT_EQ(sorted, (std::vector<int64_t>{2, 5, 9}));
}

TEST(ForestBuilder, sequences_that_end_come_before_those_that_go_on) {
  const Layout layout =
      lay_out({{1, 2, 3}, {1, 2}, {4}}, [](int64_t, int64_t, bool) { return true; });
  EXPECT_EQ(layout.forest.ids, (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(layout.labels, (std::vector<std::vector<int64_t>>{{0, 1}, {0}, {2}}));
  const Layout apart =
      lay_out({{1, 2, 3}, {1, 2}, {4}}, [](int64_t, int64_t count, bool) { return count == 1; });
  EXPECT_EQ(apart.forest.ids, (std::vector<int64_t>{1, 2, 1, 2, 3, 4}));
}

TEST(ForestBuilder, tokens_that_are_not_worth_a_segment_are_repeated) {
  const Sequences sequences{{1, 2, 3, 4, 5}, {1, 2, 3, 4, 6}, {1, 7}, {8}, {8}};
  const auto at_least_three = [](int64_t tokens, int64_t sequences, bool) {
    return sequences == 1 || tokens >= 3;
  };
  const Layout layout = lay_out(sequences, at_least_three);
  EXPECT_EQ(layout.forest.ids, (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 1, 7, 8, 8}));
  const auto equal_ones = [&](int64_t tokens, int64_t sequences, bool all_equal) {
    return all_equal || at_least_three(tokens, sequences, all_equal);
  };
  EXPECT_EQ(lay_out(sequences, equal_ones).forest.ids,
            (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 1, 7, 8}));
}

// The naive twin: every beginning of every sequence as a key of a map.
TEST(ForestBuilder, equals_a_map_of_beginnings) {
  Rng rng(11, "forest builder");
  for (int64_t round = 0; round < 300; ++round) {
    Sequences sequences(1 + rng.below(12));
    for (auto& sequence : sequences)
      for (uint64_t length = rng.below(7); length > 0; --length)
        sequence.push_back(static_cast<int64_t>(rng.below(3)));
    std::map<std::vector<int64_t>, std::vector<int64_t>> passing, ending;
    for (size_t k = 0; k < sequences.size(); ++k) {
      const auto& s = sequences[k];
      for (size_t n = 0; n <= s.size(); ++n)
        passing[{s.begin(), s.begin() + static_cast<int64_t>(n)}].push_back(
            static_cast<int64_t>(k));
      ending[s].push_back(static_cast<int64_t>(k));
    }
    const ForestBuilder tree = tree_of(sequences);
    int64_t tokens = 0;
    std::set<std::vector<int64_t>> distinct;
    for (const auto& [node, text] : texts_of(tree)) {
      EXPECT_TRUE(distinct.insert(text).second);
      EXPECT_EQ(tree.node(node).sequences, passing[text]);
      EXPECT_EQ(tree.node(node).ends, ending[text]);
      EXPECT_EQ(tree.node(node).end, std::ssize(text));
      const bool branches = tree.node(node).children.size() != 1;
      EXPECT_TRUE(node == ForestBuilder::kRoot || branches || !ending[text].empty());
      tokens += tree.node(node).end - tree.node(node).begin;
    }
    EXPECT_EQ(tokens + 1, std::ssize(passing));  // the empty beginning is no token
    const Layout layout = lay_out(sequences, [](int64_t, int64_t, bool) { return true; });
    EXPECT_EQ(layout.forest.num_tokens(), tokens);
  }
}

// Which beginnings exist and who shares them does not depend on the order of insertion.
TEST(ForestBuilder, the_set_of_nodes_does_not_depend_on_the_order_of_insertion) {
  Rng rng(12, "forest builder");
  for (int64_t round = 0; round < 100; ++round) {
    Sequences sequences(8);
    for (auto& sequence : sequences)
      for (uint64_t length = 1 + rng.below(6); length > 0; --length)
        sequence.push_back(static_cast<int64_t>(rng.below(3)));
    const auto shape = [](const Sequences& in) {
      const ForestBuilder tree = tree_of(in);
      std::map<std::vector<int64_t>, size_t> counts;
      for (const auto& [node, text] : texts_of(tree))
        counts[text] = tree.node(node).sequences.size();
      return counts;
    };
    Sequences sorted = sequences;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(shape(sequences), shape(sorted));
  }
}

TEST(ForestBuilder, any_rule_of_sharing_keeps_every_sequence_whole) {
  Rng rng(13, "forest builder");
  for (int64_t round = 0; round < 200; ++round) {
    Sequences sequences(1 + rng.below(10));
    for (auto& sequence : sequences)
      for (uint64_t length = 1 + rng.below(8); length > 0; --length)
        sequence.push_back(static_cast<int64_t>(rng.below(2)));
    std::sort(sequences.begin(), sequences.end());
    const auto least = static_cast<int64_t>(rng.below(6));
    const bool equal = rng.below(2) == 0;
    const Layout layout = lay_out(sequences, [&](int64_t tokens, int64_t count, bool all_equal) {
      return count == 1 || (equal && all_equal) || tokens * (count - 1) >= least;
    });
    for (size_t k = 0; k < sequences.size(); ++k)
      EXPECT_EQ(layout.text_of_label.at(static_cast<int64_t>(k)), sequences[k]);
  }
}

}  // namespace
}  // namespace etrlrec
