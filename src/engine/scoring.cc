#include "engine/scoring.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "nn/forest_builder.h"
#include "nn/logprob.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

// Tries of all rows, flattened. A node is a position whose next token is asked for; an edge leaves
// it with a token.
struct Tries {
  std::vector<int64_t> node_sources;  // [M] token of the forest whose hidden state the node reads
  std::vector<int64_t> first_edges;   // [M]
  std::vector<bool> is_root;          // [M]
  std::vector<int64_t> edge_nodes, edge_tokens;  // [E]
  std::vector<int64_t> path_edges, path_cells;   // [P] edge and (flattened) answer it belongs to
  std::vector<int64_t> row_sizes;                // answers of each row
  int64_t num_cells = 0;

  int64_t add_node(int64_t source, bool root) {
    node_sources.push_back(source);
    first_edges.push_back(static_cast<int64_t>(edge_nodes.size()));
    is_root.push_back(root);
    return static_cast<int64_t>(node_sources.size()) - 1;
  }
  void add_edge(int64_t node, int64_t token, const std::vector<int64_t>& passing) {
    for (int64_t k : passing) {
      path_edges.push_back(static_cast<int64_t>(edge_nodes.size()));
      path_cells.push_back(num_cells + k);
    }
    edge_nodes.push_back(node);
    edge_tokens.push_back(token);
  }
};

// The end of a segment of the forest and of a node of the builder, where answers part.
struct Place {
  int64_t segment = -1;
  int64_t branch = ForestBuilder::kRoot;
};

// Adds the edges from `node` along `branch` and, where answers go on, one segment with all tokens
// up to the next place where they part. Returns that place; nullopt: all answers have ended.
std::optional<Place> add_branch(TokenForest& forest, int64_t segment, int64_t node, int64_t branch,
                                const ForestBuilder& answers, Tries& tries) {
  std::vector<int64_t> chain;
  const int64_t begin = forest.num_tokens();
  bool goes_on = true;
  for (bool together = true; together;) {
    const ForestBuilder::Node& run = answers.node(branch);
    for (const int64_t token : run.tokens) {
      if (!chain.empty()) node = tries.add_node(begin + std::ssize(chain) - 1, false);
      tries.add_edge(node, token, run.sequences);
      chain.push_back(token);
    }
    goes_on = !run.children.empty();
    together = run.children.size() == 1;
    if (together) branch = run.children[0];
  }
  if (!goes_on) chain.pop_back();  // the last token is only predicted
  if (!chain.empty()) segment = forest.add(segment, chain);
  if (!goes_on) return std::nullopt;
  return Place{segment, branch};
}

// Built breadth first so that siblings are neighbours in the forest, children in ascending order.
void add_trie(TokenForest& forest, int64_t segment, const ForestBuilder& answers, Tries& tries) {
  std::vector<Place> level{{segment, ForestBuilder::kRoot}};
  for (bool is_root = true; !level.empty(); is_root = false) {
    std::vector<Place> next;
    for (const Place& place : level) {
      const int64_t node =
          tries.add_node(forest.segments[static_cast<size_t>(place.segment)].end - 1, is_root);
      for (const int64_t branch : answers.children_by_token(place.branch))
        if (const auto end = add_branch(forest, place.segment, node, branch, answers, tries))
          next.push_back(*end);
    }
    level = std::move(next);
  }
  const int64_t count = std::ssize(answers.node(ForestBuilder::kRoot).sequences);
  tries.row_sizes.push_back(count);
  tries.num_cells += count;
}

at::Tensor index_tensor(const std::vector<int64_t>& values, const at::Tensor& like) {
  return at::tensor(values, at::kLong).to(like.device());
}

// Beyond so many logits of all nodes with all tokens, only those of edges are computed.
constexpr int64_t kMostLogits = int64_t{1} << 24;

// Logits of the edges, [E]: one product of all nodes with all tokens while that is small. In tries
// of whole catalogues most edges leave the roots, and other nodes have few: there a product of the
// roots with all tokens, and one of two vectors for each other edge.
at::Tensor edge_logits(const at::Tensor& node_hidden, const at::Tensor& head, const Tries& tries,
                       const Numerics& numerics) {
  std::vector<int64_t> tokens = tries.edge_tokens;
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  const int64_t width = std::ssize(tokens);
  const bool is_small = std::ssize(tries.node_sources) * width <= kMostLogits;
  std::vector<int64_t> multiplied, places(tries.node_sources.size(), -1);
  for (size_t m = 0; m < places.size(); ++m) {
    if (!is_small && !tries.is_root[m]) continue;
    places[m] = std::ssize(multiplied);
    multiplied.push_back(static_cast<int64_t>(m));
  }
  std::vector<int64_t> cells, with_cell, others, other_nodes, other_tokens;
  for (size_t e = 0; e < tries.edge_tokens.size(); ++e) {
    const int64_t place = places[static_cast<size_t>(tries.edge_nodes[e])];
    const int64_t token =
        std::lower_bound(tokens.begin(), tokens.end(), tries.edge_tokens[e]) - tokens.begin();
    if (place >= 0) {
      cells.push_back(place * width + token);
      with_cell.push_back(static_cast<int64_t>(e));
    } else {
      others.push_back(static_cast<int64_t>(e));
      other_nodes.push_back(tries.edge_nodes[e]);
      other_tokens.push_back(token);
    }
  }
  const at::Tensor rows = weight_rows(head, index_tensor(tokens, head), numerics);
  const auto nodes = [&node_hidden](const std::vector<int64_t>& chosen) {
    return node_hidden.index_select(0, index_tensor(chosen, node_hidden));
  };
  const at::Tensor logits =
      at::mm(is_small ? node_hidden : nodes(multiplied), rows.t()).to(at::kFloat);
  const at::Tensor edges = logits.reshape({-1}).index_select(0, index_tensor(cells, logits));
  if (others.empty()) return edges;
  const at::Tensor products =
      (nodes(other_nodes) * rows.index_select(0, index_tensor(other_tokens, rows)))
          .sum(-1)
          .to(at::kFloat);
  return at::zeros({std::ssize(tries.edge_tokens)}, edges.options())
      .index_copy(0, index_tensor(with_cell, edges), edges)
      .index_copy(0, index_tensor(others, edges), products);
}

// log p(token | node) of every edge; edges of roots lack the normaliser unless asked for: it
// cancels in a softmax over answers.
at::Tensor edge_logprobs(const at::Tensor& node_hidden, const at::Tensor& head, const Tries& tries,
                         bool normalise_roots, const Numerics& numerics) {
  const at::Tensor edges = edge_logits(node_hidden, head, tries, numerics);
  std::vector<int64_t> inner, first, targets, slot(tries.node_sources.size(), 0);
  for (size_t m = 0; m < tries.node_sources.size(); ++m) {
    if (tries.is_root[m] && !normalise_roots) continue;
    inner.push_back(static_cast<int64_t>(m));
    first.push_back(tries.first_edges[m]);
    targets.push_back(tries.edge_tokens[static_cast<size_t>(tries.first_edges[m])]);
    slot[m] = static_cast<int64_t>(inner.size());
  }
  if (inner.empty()) return edges;
  // One full normaliser per inner node: log p(first edge) - its logit.
  const at::Tensor full =
      linear_logprob(node_hidden.index_select(0, index_tensor(inner, node_hidden)), head,
                     index_tensor(targets, head), false, numerics)
          .logprobs;
  const at::Tensor shift = full - edges.index_select(0, index_tensor(first, edges));
  std::vector<int64_t> edge_slots;
  for (int64_t node : tries.edge_nodes) edge_slots.push_back(slot[static_cast<size_t>(node)]);
  return edges + at::cat({at::zeros({1}, shift.options()), shift})
                     .index_select(0, index_tensor(edge_slots, edges));
}

}  // namespace

bool all_single_tokens(const Answers& answers) {
  return std::all_of(answers.begin(), answers.end(),
                     [](const auto& answer) { return answer.size() == 1; });
}

void check_answers(const Answers& answers, int64_t vocab_size) {
  CHECK(!answers.empty(), kInput, "answers: expected at least one");
  Answers sorted = answers;
  std::sort(sorted.begin(), sorted.end());
  for (size_t k = 0; k < sorted.size(); ++k) {
    CHECK(!sorted[k].empty(), kInput,
          "answers: expected at least one token each, found an empty one");
    for (int64_t id : sorted[k])
      CHECK(id >= 0 && id < vocab_size, kInput,
            "answers: token id {} is not in the vocabulary of {}", id, vocab_size);
    if (k == 0) continue;
    const auto& shorter =
        sorted[k - 1];  // in sorted order a prefix stands right before what it begins
    CHECK(shorter.size() > sorted[k].size() ||
              !std::equal(shorter.begin(), shorter.end(), sorted[k].begin()),
          kInput,
          "answers: one of {} tokens begins another one\nhint: append the token that ends an "
          "answer to all of them",
          shorter.size());
  }
}

namespace {

// Sums of edges along every answer, flattened [cells]; fills `row_sizes`.
at::Tensor path_sums(const LanguageModel& model, TokenForest forest,
                     std::span<const int64_t> segments, std::span<const Answers> answers,
                     bool normalise_roots, std::vector<int64_t>& row_sizes) {
  Tries tries;
  ForestBuilder tree;
  for (size_t r = 0; r < segments.size(); ++r) {
    if (r == 0 || answers[r] != answers[r - 1]) {
      tree = ForestBuilder();
      for (size_t k = 0; k < answers[r].size(); ++k)
        tree.add(answers[r][k], static_cast<int64_t>(k));
    }
    add_trie(forest, segments[r], tree, tries);
  }
  const at::Tensor node_hidden = model.hidden_states_at(forest, tries.node_sources);  // [M, C]
  const at::Tensor edges = edge_logprobs(node_hidden, model.head_weight(), tries, normalise_roots,
                                         model.numerics());  // [E]
  row_sizes = tries.row_sizes;
  return at::zeros({tries.num_cells}, edges.options())
      .index_add(0, index_tensor(tries.path_cells, edges),
                 edges.index_select(0, index_tensor(tries.path_edges, edges)));
}

void check_rows(size_t lists, size_t rows) {
  CHECK(lists == rows, kInput, "answers: expected one list per row, found {} for {} rows", lists,
        rows);
}

// Groups of rows whose prefixes have at most batch_tokens tokens together (all of them under
// gradients) through `score`, one root each.
template <typename F>
std::vector<at::Tensor> score_in_groups(const LanguageModel& model,
                                        std::span<const std::vector<int64_t>> prefixes,
                                        std::span<const Answers> answers, int64_t batch_tokens,
                                        const F& score) {
  CHECK(prefixes.size() == answers.size(), kInput,
        "answers: expected one list per prefix, found {} for {} prefixes", answers.size(),
        prefixes.size());
  std::vector<at::Tensor> out;
  for (size_t begin = 0; begin < prefixes.size();) {
    TokenForest forest;
    std::vector<int64_t> segments;
    size_t end = begin;
    int64_t tokens = 0;
    while (end < prefixes.size() && (at::GradMode::is_enabled() || end == begin ||
                                     tokens + std::ssize(prefixes[end]) <= batch_tokens)) {
      CHECK(!prefixes[end].empty(), kInput, "prefix {}: expected at least one token", end);
      tokens += std::ssize(prefixes[end]);
      segments.push_back(model.add_prompt(forest, prefixes[end++]));
    }
    for (at::Tensor& row : score(std::move(forest), segments, answers.subspan(begin, end - begin)))
      out.push_back(std::move(row));
    begin = end;
  }
  return out;
}

}  // namespace

std::vector<at::Tensor> score_answers(const LanguageModel& model, TokenForest forest,
                                      std::span<const int64_t> segments,
                                      std::span<const Answers> answers) {
  check_rows(answers.size(), segments.size());
  if (segments.empty()) return {};
  for (size_t r = 0; r < segments.size(); ++r)
    if (r == 0 || answers[r] != answers[r - 1]) check_answers(answers[r], model.vocab_size());
  std::vector<int64_t> sizes;
  const at::Tensor scores = path_sums(model, std::move(forest), segments, answers, false, sizes);
  if (std::all_of(sizes.begin(), sizes.end(), [&](int64_t n) { return n == sizes[0]; }))
    return scores.view({-1, sizes[0]}).log_softmax(-1).unbind(0);
  std::vector<at::Tensor> rows = scores.split_with_sizes(sizes);
  for (at::Tensor& row : rows) row = row.log_softmax(-1);
  return rows;
}

std::vector<at::Tensor> score_sequences(const LanguageModel& model, TokenForest forest,
                                        std::span<const int64_t> segments,
                                        std::span<const Answers> sequences) {
  check_rows(sequences.size(), segments.size());
  if (segments.empty()) return {};
  for (const Answers& row : sequences) {
    CHECK(!row.empty(), kInput, "sequences: expected at least one per row");
    for (const auto& sequence : row) {
      CHECK(!sequence.empty(), kInput, "sequences: expected at least one token each");
      for (int64_t id : sequence)
        CHECK(id >= 0 && id < model.vocab_size(), kInput,
              "sequences: token id {} is not in the vocabulary of {}", id, model.vocab_size());
    }
  }
  std::vector<int64_t> sizes;
  const at::Tensor sums = path_sums(model, std::move(forest), segments, sequences, true, sizes);
  return sums.split_with_sizes(sizes);
}

std::vector<at::Tensor> answer_logprobs(const LanguageModel& model,
                                        std::span<const std::vector<int64_t>> prefixes,
                                        std::span<const Answers> answers, int64_t batch_tokens) {
  return score_in_groups(
      model, prefixes, answers, batch_tokens,
      [&](TokenForest forest, std::span<const int64_t> segments, std::span<const Answers> group) {
        return score_answers(model, std::move(forest), segments, group);
      });
}

std::vector<at::Tensor> sequence_logprobs(const LanguageModel& model,
                                          std::span<const std::vector<int64_t>> prefixes,
                                          std::span<const Answers> sequences,
                                          int64_t batch_tokens) {
  return score_in_groups(
      model, prefixes, sequences, batch_tokens,
      [&](TokenForest forest, std::span<const int64_t> segments, std::span<const Answers> group) {
        return score_sequences(model, std::move(forest), segments, group);
      });
}

}  // namespace etrlrec
