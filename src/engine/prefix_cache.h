// Keys and values of prompts, kept for later prompts that begin with the same tokens, within a
// budget of bytes: what was used longest ago leaves first. It knows token ids and sizes, not what
// keys are made of.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/language_model.h"

namespace etrlrec {

// Contract: what is kept is served only to the model that computed it, with the same parameters and
// the same adapter in use (ModelStamp); at the first use in another state the cache empties itself.
// Whoever writes to parameters through raw pointers calls clear(). For one thread at a time.
class PrefixCache {
 public:
  // What an admission leaves behind: all of its prompts, or only what several of them begin with.
  enum class Keeps : int8_t { kPrompts, kSharedPrefixes };
  // Error (kUsage) when the budget is negative; with 0 nothing is kept.
  explicit PrefixCache(int64_t budget_bytes, Keeps keeps = Keeps::kPrompts);
  PrefixCache(const PrefixCache&) = delete;
  ~PrefixCache();

  struct Statistics {
    int64_t prompts = 0, hits = 0;  // prompts that came, those that began with something kept
    int64_t tokens = 0, tokens_reused = 0;  // of all prompts; found here instead of computed
    int64_t tokens_computed = 0;  // less than the rest where prompts that came together share
    int64_t bytes = 0;            // kept, at most the budget
    int64_t segments = 0;         // kept
    int64_t evicted = 0, too_large = 0;  // segments that left for others, or found no room
    int64_t invalidated = 0;             // times that the model had changed
  };
  const Statistics& statistics() const { return statistics_; }
  void clear();

  // Empties the cache unless it is of the model in its present state; admit_prompts begins with it.
  void serve(const LanguageModel& model);
  // Tokens of the prompt that admit_prompts would find here; less than its length, because the last
  // token is always computed: its hidden state decides what follows.
  int64_t known_tokens(std::span<const int64_t> prompt) const;

 private:
  friend class PromptAdmission;
  // A segment that begins after the first `at` tokens of its parent.
  struct Node {
    std::vector<int64_t> tokens;
    SharedPromptKeys keys;
    Node* parent = nullptr;
    int64_t at = 0;
    uint64_t last_use = 0;
    bool is_kept = true;
    // By place and first token; several may share both.
    std::multimap<std::pair<int64_t, int64_t>, std::shared_ptr<Node>> children;
    int64_t bytes() const;
  };
  // The first `count` tokens of a node.
  struct Piece {
    std::shared_ptr<Node> node;
    int64_t count = 0;
  };
  using Pieces = std::vector<Piece>;  // from the beginning of a prompt

  Pieces find(std::span<const int64_t> prompt) const;
  void touch(Node* node);
  // nullptr when there is no room for it, or its parent (nullptr: none) has left.
  std::shared_ptr<Node> keep(Node* parent, int64_t at, std::span<const int64_t> tokens,
                             SharedPromptKeys keys);
  bool make_room(int64_t bytes, const Node* needed);
  void drop(Node* node);

  int64_t budget_;
  Keeps keeps_;
  ModelStamp stamp_;
  Node root_;
  uint64_t clock_ = 0;
  std::map<uint64_t, Node*> by_use_;  // a node's use is later than that of all below it
  Statistics statistics_;
};

// Brings prompts into a cache of the model, each after what `prefixes` knows of it: a new row, in
// order, for every entry of prompt_of_row. What several of the prompts begin with is computed once.
// nullptr: nothing is known or kept. The adapter in use is still that of the cache's beginning.
// Returns the last hidden states of the rows [rows, C].
at::Tensor admit_prompts(const LanguageModel& model, KvCache& cache,
                         std::span<const std::span<const int64_t>> prompts,
                         std::span<const int64_t> prompt_of_row, PrefixCache* prefixes);

}  // namespace etrlrec
