// The item trie: every path it allows is an item, every item is found, titles that several items
// share lead to all of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "engine/item_trie.h"

namespace etrlrec {
namespace {

using Sequences = std::vector<std::vector<int64_t>>;
constexpr int64_t kEnd = 9;

// Random titles over few tokens, so that they share beginnings and repeat; each closed by kEnd.
Sequences random_titles(int64_t count, uint64_t index) {
  Rng rng(3, "titles", index);
  Sequences titles;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int64_t> title(1 + rng.below(5));
    for (int64_t& token : title) token = static_cast<int64_t>(rng.below(1 + index % 4));
    title.push_back(kEnd);
    titles.push_back(title);
  }
  return titles;
}

// All complete paths of a trie, by walking what it allows.
void walk(const ItemTrie& trie, int64_t node, std::vector<int64_t>& path,
          std::map<std::vector<int64_t>, std::vector<int64_t>>& found) {
  if (trie.is_leaf(node)) {
    const auto items = trie.items(node);
    found[path] = {items.begin(), items.end()};
    return;
  }
  const auto tokens = trie.tokens(node);
  EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
  EXPECT_EQ(std::set<int64_t>(tokens.begin(), tokens.end()).size(), tokens.size());
  for (size_t k = 0; k < tokens.size(); ++k) {
    const int64_t child = trie.first_child(node) + static_cast<int64_t>(k);
    EXPECT_EQ(trie.child(node, tokens[k]), child);
    path.push_back(tokens[k]);
    walk(trie, child, path, found);
    path.pop_back();
  }
}

TEST(ItemTrie, allows_the_catalogue_and_nothing_else) {
  for (uint64_t index = 0; index < 40; ++index) {
    const Sequences titles = random_titles(1 + static_cast<int64_t>(index * 3), index);
    const ItemTrie trie(titles, 10);
    std::map<std::vector<int64_t>, std::vector<int64_t>> expected, found;
    for (size_t i = 0; i < titles.size(); ++i)
      expected[titles[i]].push_back(static_cast<int64_t>(i));
    std::vector<int64_t> path;
    walk(trie, ItemTrie::kRoot, path, found);
    EXPECT_EQ(found, expected);
    EXPECT_EQ(trie.num_items(), static_cast<int64_t>(titles.size()));
    EXPECT_EQ(trie.items(ItemTrie::kRoot).size(), titles.size());
    size_t longest = 0;
    for (const auto& title : titles) longest = std::max(longest, title.size());
    EXPECT_EQ(trie.max_length(), static_cast<int64_t>(longest));
  }
}

TEST(ItemTrie, finds_complete_sequences_only) {
  const ItemTrie trie(Sequences{{4, 5, 9}, {4, 9}, {7, 9}, {4, 5, 9}}, 10);
  EXPECT_EQ(trie.num_nodes(), 7);
  const int64_t leaf = trie.find(std::vector<int64_t>{4, 5, 9});
  ASSERT_GE(leaf, 0);
  EXPECT_EQ(std::vector<int64_t>(trie.items(leaf).begin(), trie.items(leaf).end()),
            (std::vector<int64_t>{0, 3}));
  for (const auto& other : Sequences{{}, {4}, {4, 5}, {5}, {4, 5, 9, 9}, {7, 8}})
    EXPECT_EQ(trie.find(other), -1);
  EXPECT_EQ(trie.child(ItemTrie::kRoot, 5), -1);
}

TEST(ItemTrie, refuses_what_it_cannot_tell_apart) {
  EXPECT_THROW(ItemTrie(Sequences{}, 10), Error);
  EXPECT_THROW(ItemTrie(Sequences{{1}, {}}, 10), Error);
  EXPECT_THROW(ItemTrie(Sequences{{10}}, 10), Error);
  EXPECT_THROW(ItemTrie(Sequences{{-1}}, 10), Error);
  EXPECT_THROW(ItemTrie(Sequences{{1, 2}, {3}, {1}}, 10), Error);
  EXPECT_THROW(ItemTrie(Sequences{{1, 2, 3}, {1, 2, 4}, {1, 2}}, 10), Error);
  EXPECT_NO_THROW(ItemTrie(Sequences{{1, 2}, {1, 3}, {1, 2}}, 10));
}

}  // namespace
}  // namespace etrlrec
