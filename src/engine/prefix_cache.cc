// The kept segments are a tree. A segment continues any number of its parent's first tokens, so
// nothing is split or copied when prompts part within a segment. Only leaves leave: the use of a
// node is also one of all above it, so the node used longest ago is always a leaf.
#include "engine/prefix_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "nn/forest_builder.h"

namespace etrlrec {
namespace {

// A shared beginning of fewer tokens, one block of keys, is cheaper to compute than to look up in
// every later step.
constexpr int64_t kShortest = 16;

using Tokens = std::span<const int64_t>;

}  // namespace

PrefixCache::PrefixCache(int64_t budget_bytes, Keeps keeps) : budget_(budget_bytes), keeps_(keeps) {
  CHECK(budget_bytes >= 0, kUsage, "prefix cache: expected a budget of at least 0 bytes, found {}",
        budget_bytes);
}

PrefixCache::~PrefixCache() = default;

int64_t PrefixCache::Node::bytes() const {
  return keys->bytes() + static_cast<int64_t>(tokens.size() * sizeof(int64_t));
}

void PrefixCache::clear() {
  for (const auto& [use, node] : by_use_) node->is_kept = false;
  by_use_.clear();
  root_.children.clear();
  statistics_.bytes = statistics_.segments = 0;
}

void PrefixCache::serve(const LanguageModel& model) {
  if (model.has_encoder()) return;
  ModelStamp stamp = model.stamp();
  if (stamp == stamp_) return;
  if (!by_use_.empty()) ++statistics_.invalidated;
  clear();
  stamp_ = std::move(stamp);
}

// Every segment was put after the longest beginning known then, of at least kShortest tokens in
// its last piece, so several children may begin alike: the longest way down is searched.
PrefixCache::Pieces PrefixCache::find(Tokens prompt) const {
  const Tokens wanted = prompt.first(prompt.empty() ? 0 : prompt.size() - 1);
  struct Search {
    Pieces pieces, best;
    int64_t most = 0;
    void visit(const Node& node, int64_t known, Tokens rest) {
      const auto& children = node.children;
      for (auto place = children.begin(); place != children.end();) {
        const int64_t at = place->first.first;
        if (at > known || at >= std::ssize(rest)) break;
        const Tokens tail = rest.subspan(static_cast<size_t>(at));
        const auto [first, last] = children.equal_range({at, tail[0]});
        for (auto child = first; child != last; ++child) visit_child(child->second, at, tail);
        place = children.upper_bound({at, std::numeric_limits<int64_t>::max()});
      }
      if (!pieces.empty()) pieces.back().count = known;
    }
    void visit_child(const std::shared_ptr<Node>& child, int64_t at, Tokens tail) {
      const int64_t common = common_prefix(child->tokens, tail);
      if (!pieces.empty()) pieces.back().count = at;
      pieces.push_back({child, common});
      if (total() > most) {
        most = total();
        best = pieces;
      }
      visit(*child, common, tail);
      pieces.pop_back();
    }
    int64_t total() const {
      int64_t sum = 0;
      for (const Piece& piece : pieces) sum += piece.count;
      return sum;
    }
  } search;
  search.visit(root_, 0, wanted);
  while (!search.best.empty() && search.best.back().count < kShortest) search.best.pop_back();
  return std::move(search.best);
}

int64_t PrefixCache::known_tokens(Tokens prompt) const {
  int64_t sum = 0;
  for (const Piece& piece : find(prompt)) sum += piece.count;
  return sum;
}

void PrefixCache::touch(Node* node) {
  for (; node != nullptr; node = node->parent) {
    if (!node->is_kept) continue;
    by_use_.erase(node->last_use);
    node->last_use = ++clock_;
    by_use_[node->last_use] = node;
  }
}

void PrefixCache::drop(Node* node) {
  Node& parent = node->parent == nullptr ? root_ : *node->parent;
  statistics_.bytes -= node->bytes();
  --statistics_.segments;
  node->is_kept = false;
  by_use_.erase(node->last_use);
  const auto [first, last] = parent.children.equal_range({node->at, node->tokens[0]});
  parent.children.erase(
      std::find_if(first, last, [&](const auto& child) { return child.second.get() == node; }));
}

bool PrefixCache::make_room(int64_t bytes, const Node* needed) {
  if (bytes > budget_) return false;
  while (statistics_.bytes + bytes > budget_) {
    Node* oldest = by_use_.begin()->second;
    if (oldest == needed) return false;
    drop(oldest);
    ++statistics_.evicted;
  }
  return true;
}

std::shared_ptr<PrefixCache::Node> PrefixCache::keep(Node* parent, int64_t at, Tokens tokens,
                                                     SharedPromptKeys keys) {
  auto node = std::make_shared<Node>();
  node->tokens.assign(tokens.begin(), tokens.end());
  node->keys = std::move(keys);
  node->parent = parent;
  node->at = at;
  if ((parent != nullptr && !parent->is_kept) || !make_room(node->bytes(), parent)) {
    ++statistics_.too_large;
    return nullptr;
  }
  (parent == nullptr ? root_ : *parent).children.emplace(std::pair(at, tokens[0]), node);
  statistics_.bytes += node->bytes();
  ++statistics_.segments;
  touch(node.get());
  return node;
}

// The forest of one admission: what is known first, below it the rest of the prompts as a trie.
class PromptAdmission {
 public:
  PromptAdmission(std::span<const Tokens> prompts, PrefixCache* prefixes)
      : prompts_(prompts), prefixes_(prefixes), segment_of_prompt_(prompts.size(), -1) {
    std::map<int64_t, std::vector<size_t>> below;  // known segment, -1: none
    known_.resize(prompts.size(), 0);
    for (size_t p = 0; p < prompts.size(); ++p) below[add_known(p)].push_back(p);
    for (auto& [segment, group] : below) {
      std::sort(group.begin(), group.end(), [&](size_t a, size_t b) {
        return std::lexicographical_compare(prompts[a].begin(), prompts[a].end(),
                                            prompts[b].begin(), prompts[b].end());
      });
      grow(segment, group, known_[group[0]]);
    }
  }

  at::Tensor run(const LanguageModel& model, KvCache& cache,
                 std::span<const int64_t> prompt_of_row) {
    std::vector<int64_t> rows;
    for (int64_t prompt : prompt_of_row)
      rows.push_back(segment_of_prompt_[static_cast<size_t>(prompt)]);
    at::Tensor hidden;
    model.admit(cache, forest_, rows, hidden, keys_);
    if (prefixes_ != nullptr) keep_computed();
    return hidden.index_select(0, at::tensor(rows, at::kLong));
  }

 private:
  using Node = PrefixCache::Node;

  int64_t add_segment(int64_t parent, Tokens tokens, std::shared_ptr<Node> node) {
    const int64_t segment = forest_.add(parent, tokens);
    keys_.push_back(node ? node->keys : nullptr);
    ends_.push_back({std::move(node), std::ssize(tokens)});
    shared_.push_back(false);
    if (parent >= 0) shared_[static_cast<size_t>(parent)] = true;
    return segment;
  }

  // The segment of what is known of a prompt, -1: nothing.
  int64_t add_known(size_t p) {
    if (prefixes_ == nullptr) return -1;
    int64_t segment = -1, begin = 0;
    const PrefixCache::Pieces pieces = prefixes_->find(prompts_[p]);
    for (const auto& [node, count] : pieces) {
      const auto [found, is_new] = known_segments_.try_emplace({node.get(), count}, -1);
      if (is_new) {
        const Tokens tokens = prompts_[p].subspan(static_cast<size_t>(begin));
        found->second = add_segment(segment, tokens.first(static_cast<size_t>(count)), node);
      }
      segment = found->second;
      begin += count;
    }
    known_[p] = begin;
    if (!pieces.empty()) prefixes_->touch(pieces.back().node.get());
    PrefixCache::Statistics& s = prefixes_->statistics_;
    ++s.prompts;
    s.hits += begin > 0;
    s.tokens += static_cast<int64_t>(prompts_[p].size());
    s.tokens_reused += begin;
    return segment;
  }

  // Prompts in ascending order that share their first `known` tokens, which end at `parent`: below
  // it, what they have in common is one segment where it is long enough or nothing follows it.
  void grow(int64_t parent, std::span<const size_t> group, int64_t known) {
    ForestBuilder tree;
    for (const size_t p : group)
      tree.add(prompts_[p].subspan(static_cast<size_t>(known)), static_cast<int64_t>(p));
    const auto is_shared = [](int64_t tokens, int64_t, bool all_equal) {
      return all_equal || tokens >= kShortest;
    };
    tree.append_segments(
        parent, is_shared,
        [&](int64_t above, int64_t begin, int64_t end, std::span<const int64_t> below) {
          const Tokens first = prompts_[static_cast<size_t>(below[0])];
          const int64_t segment = add_segment(
              above,
              first.subspan(static_cast<size_t>(known + begin), static_cast<size_t>(end - begin)),
              nullptr);
          if (prefixes_ != nullptr) prefixes_->statistics_.tokens_computed += end - begin;
          for (const int64_t p : below)
            if (std::ssize(prompts_[static_cast<size_t>(p)]) == known + end)
              segment_of_prompt_[static_cast<size_t>(p)] = segment;
          return segment;
        });
  }

  void keep_computed() {
    for (size_t s = 0; s < ends_.size(); ++s) {
      const Segment& segment = forest_.segments[s];
      if (ends_[s].node != nullptr) continue;
      if (prefixes_->keeps_ == PrefixCache::Keeps::kSharedPrefixes && !shared_[s]) continue;
      const PrefixCache::Piece above =
          segment.parent < 0 ? PrefixCache::Piece{} : ends_[static_cast<size_t>(segment.parent)];
      if (segment.parent >= 0 && above.node == nullptr) continue;  // it found no room
      const Tokens tokens = std::span(forest_.ids)
                                .subspan(static_cast<size_t>(segment.begin),
                                         static_cast<size_t>(segment.end - segment.begin));
      if (above.node != nullptr && goes_on_with(above, tokens)) {
        ends_[s] = {above.node, above.count + std::ssize(tokens)};
      } else {
        ends_[s].node = prefixes_->keep(above.node.get(), above.count, tokens, keys_[s]);
      }
    }
  }

  // The last token of a prompt is computed even if it is kept already.
  static bool goes_on_with(const PrefixCache::Piece& piece, Tokens tokens) {
    const Tokens rest = Tokens(piece.node->tokens).subspan(static_cast<size_t>(piece.count));
    return common_prefix(rest, tokens) == std::ssize(tokens);
  }

  std::span<const Tokens> prompts_;
  PrefixCache* prefixes_;
  TokenForest forest_;
  std::vector<SharedPromptKeys> keys_;    // of each segment
  std::vector<PrefixCache::Piece> ends_;  // where each segment ends in what is kept
  std::vector<bool> shared_;              // segments with others below them
  std::map<std::pair<const Node*, int64_t>, int64_t> known_segments_;
  std::vector<int64_t> known_;  // tokens of each prompt
  std::vector<int64_t> segment_of_prompt_;
};

namespace {

at::Tensor admit_roots(const LanguageModel& model, KvCache& cache, std::span<const Tokens> prompts,
                       std::span<const int64_t> prompt_of_row) {
  TokenForest roots;
  for (const Tokens& prompt : prompts) model.add_prompt(roots, prompt);
  at::Tensor hidden;
  model.admit(cache, roots, prompt_of_row, hidden);
  return hidden.index_select(0, at::tensor(prompt_of_row, at::kLong));
}

}  // namespace

at::Tensor admit_prompts(const LanguageModel& model, KvCache& cache,
                         std::span<const Tokens> prompts, std::span<const int64_t> prompt_of_row,
                         PrefixCache* prefixes) {
  if (model.has_encoder()) return admit_roots(model, cache, prompts, prompt_of_row);
  if (prefixes != nullptr) prefixes->serve(model);
  return PromptAdmission(prompts, prefixes).run(model, cache, prompt_of_row);
}

}  // namespace etrlrec
