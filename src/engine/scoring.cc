#include "engine/scoring.h"

#include <algorithm>
#include <map>

#include "base/check.h"
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
  void add_edge(int64_t node, int64_t token, const std::vector<size_t>& passing) {
    for (size_t k : passing) {
      path_edges.push_back(static_cast<int64_t>(edge_nodes.size()));
      path_cells.push_back(num_cells + static_cast<int64_t>(k));
    }
    edge_nodes.push_back(node);
    edge_tokens.push_back(token);
  }
};

// The end of a segment of the forest and the answers that continue there.
struct Place {
  int64_t segment;
  size_t depth;                 // tokens of the answers so far
  std::vector<size_t> answers;  // longer than depth
};

// Adds the edge and, where answers go on behind it, one segment with all tokens up to the next
// place where they part. Returns that place; no answers in it: all have ended.
Place add_branch(TokenForest& forest, const Place& from, int64_t node, std::vector<size_t> passing,
                 const Answers& answers, Tries& tries) {
  std::vector<int64_t> chain;
  const int64_t begin = forest.num_tokens();
  size_t depth = from.depth;
  while (true) {
    const int64_t token = answers[passing[0]][depth++];
    tries.add_edge(node, token, passing);
    std::erase_if(passing, [&](size_t k) { return answers[k].size() == depth; });
    if (passing.empty()) break;
    chain.push_back(token);
    const bool together = std::all_of(passing.begin(), passing.end(), [&](size_t k) {
      return answers[k][depth] == answers[passing[0]][depth];
    });
    if (!together) break;
    node = tries.add_node(begin + static_cast<int64_t>(chain.size()) - 1, false);
  }
  const int64_t segment = chain.empty() ? -1 : forest.add(from.segment, chain);
  return {segment, depth, std::move(passing)};
}

// Built breadth first so that siblings are neighbours in the forest.
void add_trie(TokenForest& forest, int64_t segment, const Answers& answers, Tries& tries) {
  std::vector<Place> level{{segment, 0, {}}};
  for (size_t k = 0; k < answers.size(); ++k) level[0].answers.push_back(k);
  for (bool is_root = true; !level.empty(); is_root = false) {
    std::vector<Place> next;
    for (const Place& place : level) {
      const int64_t node =
          tries.add_node(forest.segments[static_cast<size_t>(place.segment)].end - 1, is_root);
      std::map<int64_t, std::vector<size_t>> children;
      for (size_t k : place.answers) children[answers[k][place.depth]].push_back(k);
      for (auto& [token, passing] : children) {
        Place end = add_branch(forest, place, node, std::move(passing), answers, tries);
        if (!end.answers.empty()) next.push_back(std::move(end));
      }
    }
    level = std::move(next);
  }
  tries.row_sizes.push_back(static_cast<int64_t>(answers.size()));
  tries.num_cells += static_cast<int64_t>(answers.size());
}

at::Tensor index_tensor(const std::vector<int64_t>& values, const at::Tensor& like) {
  return at::tensor(values, at::kLong).to(like.device());
}

// log p(token | node) of every edge; edges of roots lack the normaliser unless asked for: it
// cancels in a softmax over answers.
at::Tensor edge_logprobs(const at::Tensor& node_hidden, const at::Tensor& head, const Tries& tries,
                         bool normalise_roots) {
  std::vector<int64_t> tokens = tries.edge_tokens;
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  std::vector<int64_t> cells(tries.edge_tokens.size());
  for (size_t e = 0; e < cells.size(); ++e)
    cells[e] =
        tries.edge_nodes[e] * static_cast<int64_t>(tokens.size()) +
        (std::lower_bound(tokens.begin(), tokens.end(), tries.edge_tokens[e]) - tokens.begin());
  const at::Tensor rows = weight_rows(head, index_tensor(tokens, head));
  const at::Tensor logits = at::mm(node_hidden, rows.t()).to(at::kFloat);                // [M, U]
  at::Tensor edges = logits.reshape({-1}).index_select(0, index_tensor(cells, logits));  // [E]

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
                     index_tensor(targets, head))
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
  for (size_t r = 0; r < segments.size(); ++r) add_trie(forest, segments[r], answers[r], tries);
  const at::Tensor node_hidden = model.hidden_states_at(forest, tries.node_sources);  // [M, C]
  const at::Tensor edges =
      edge_logprobs(node_hidden, model.head_weight(), tries, normalise_roots);  // [E]
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
