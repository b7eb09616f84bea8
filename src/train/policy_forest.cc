#include "train/policy_forest.h"

#include <map>

#include "base/check.h"
#include "nn/forest_builder.h"
#include "nn/logprob.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

// The tree of the answers, token by token: an edge for each token, an inner node where an answer
// goes on; node 0 is the end of the completion. Both in the order in which the answers need them.
struct AnswerTrie {
  struct Node {
    int64_t parent = -1, token = -1;
    int64_t first_edge = -1;  // the edge with the smallest token
  };
  std::vector<Node> nodes{1};
  std::vector<int64_t> edge_nodes, edge_tokens;
  std::vector<std::vector<int64_t>> paths;  // edges of each answer

  int64_t add_edge(int64_t node, int64_t token) {
    const auto edge = static_cast<int64_t>(edge_nodes.size());
    edge_nodes.push_back(node);
    edge_tokens.push_back(token);
    int64_t& first = nodes[static_cast<size_t>(node)].first_edge;
    if (first < 0 || token < edge_tokens[static_cast<size_t>(first)]) first = edge;
    return edge;
  }
};

// The edges and the last node of one run of the builder.
struct RunEdges {
  std::vector<int64_t> edges;
  int64_t last_node = 0;
};

RunEdges number_run(const ForestBuilder::Node& run, int64_t node, AnswerTrie& trie) {
  RunEdges numbered;
  for (const int64_t token : run.tokens) {
    const bool is_end = numbered.edges.size() + 1 == run.tokens.size();
    numbered.edges.push_back(trie.add_edge(node, token));
    if (is_end && run.children.empty()) break;
    trie.nodes.push_back({node, token, -1});
    node = static_cast<int64_t>(trie.nodes.size()) - 1;
  }
  numbered.last_node = node;
  return numbered;
}

AnswerTrie build_trie(std::span<const std::vector<int64_t>> answers) {
  ForestBuilder builder;
  for (size_t a = 0; a < answers.size(); ++a) {
    const int64_t end = builder.add(answers[a], static_cast<int64_t>(a));
    CHECK(!answers[a].empty() && builder.node(end).ends.size() == 1, kInput,
          "answers: expected different ones of at least one token each");
  }
  AnswerTrie trie;
  trie.paths.resize(answers.size());
  std::map<int64_t, RunEdges> runs;
  runs[ForestBuilder::kRoot] = {};
  for (size_t a = 0; a < answers.size(); ++a) {
    int64_t run = ForestBuilder::kRoot;
    for (int64_t above = 0; builder.node(run).end < std::ssize(answers[a]);) {
      above = runs[run].last_node;
      run = builder.child(run, answers[a][static_cast<size_t>(builder.node(run).end)]);
      const auto [found, is_new] = runs.try_emplace(run);
      if (is_new) found->second = number_run(builder.node(run), above, trie);
      trie.paths[a].insert(trie.paths[a].end(), found->second.edges.begin(),
                           found->second.edges.end());
    }
  }
  return trie;
}

void add_answers(PolicyForest& out, const AnswerTrie& trie, int64_t segment, int64_t end,
                 int64_t sample) {
  int64_t first_node = static_cast<int64_t>(out.node_sources.size());
  int64_t first_edge = static_cast<int64_t>(out.edge_nodes.size());
  std::vector<int64_t> segments{segment};
  out.node_sources.push_back(end - 1);
  for (size_t n = 1; n < trie.nodes.size(); ++n) {
    const AnswerTrie::Node& node = trie.nodes[n];
    segments.push_back(out.forest.add(segments[node.parent], std::span(&node.token, 1)));
    out.node_sources.push_back(out.forest.num_tokens() - 1);
  }
  for (const AnswerTrie::Node& node : trie.nodes)
    out.first_edges.push_back(first_edge + node.first_edge);
  for (size_t e = 0; e < trie.edge_nodes.size(); ++e) {
    out.edge_nodes.push_back(first_node + trie.edge_nodes[e]);
    out.edge_tokens.push_back(trie.edge_tokens[e]);
  }
  for (size_t a = 0; a < trie.paths.size(); ++a)
    for (int64_t edge : trie.paths[a]) {
      out.path_edges.push_back(first_edge + edge);
      out.path_cells.push_back(sample * out.num_answers + static_cast<int64_t>(a));
    }
}

void add_finish(PolicyForest& out, const std::vector<int64_t>& answer,
                const std::vector<int64_t>& finish, int64_t segment, int64_t sample) {
  std::vector<int64_t> tokens = answer;
  tokens.insert(tokens.end(), finish.begin(), finish.end() - 1);
  const int64_t begin = out.forest.num_tokens() + static_cast<int64_t>(answer.size()) - 1;
  out.forest.add(segment, tokens);
  for (size_t t = 0; t < finish.size(); ++t) {
    out.finish_sources.push_back(begin + static_cast<int64_t>(t));
    out.finish_targets.push_back(finish[t]);
    out.finish_rows.push_back(sample);
  }
}

// `nodes` [M, C] -> [samples, answers]; without a finish and with single tokens up to a constant
// per sample.
at::Tensor answer_scores(const LanguageModel& model, const PolicyForest& forest,
                         const at::Tensor& nodes) {
  const at::Tensor& head = model.head_weight();
  at::Tensor edge_nodes = at::tensor(forest.edge_nodes);
  at::Tensor edge_tokens = at::tensor(forest.edge_tokens);
  at::Tensor logits = (nodes.index_select(0, edge_nodes).to(at::kFloat) *
                       weight_rows(head, edge_tokens, model.numerics()))
                          .sum(-1);  // [E]
  const bool with_contract = !forest.finish_sources.empty();
  if (!forest.single_tokens || with_contract) {
    at::Tensor first = at::tensor(forest.first_edges);
    at::Tensor known =
        linear_logprob(nodes, head, edge_tokens.index_select(0, first), false, model.numerics())
            .logprobs;                                              // [M]
    at::Tensor normaliser = logits.index_select(0, first) - known;  // [M]
    logits = logits - normaliser.index_select(0, edge_nodes);
  }
  at::Tensor scores = at::zeros({forest.num_samples * forest.num_answers}, logits.options())
                          .index_add(0, at::tensor(forest.path_cells),
                                     logits.index_select(0, at::tensor(forest.path_edges)));
  return scores.view({forest.num_samples, forest.num_answers});
}

// hidden [F, C] -> [samples]
at::Tensor score_finish(const LanguageModel& model, const PolicyForest& forest,
                        const at::Tensor& hidden) {
  const at::Tensor tokens =
      linear_logprob(hidden, model.head_weight(), at::tensor(forest.finish_targets), false,
                     model.numerics())
          .logprobs;
  return at::zeros({forest.num_samples}, tokens.options())
      .index_add(0, at::tensor(forest.finish_rows), tokens);
}

}  // namespace

PolicyForest build_policy_forest(const LanguageModel& model,
                                 std::span<const std::vector<int64_t>> prompts,
                                 std::span<const std::vector<std::vector<int64_t>>> answers,
                                 std::span<const PolicySample> samples) {
  CHECK(!prompts.empty() && prompts.size() == answers.size(), kInput,
        "policy forest: expected prompts with answers, found {} and {}", prompts.size(),
        answers.size());
  PolicyForest out;
  out.num_samples = static_cast<int64_t>(samples.size());
  out.num_answers = static_cast<int64_t>(answers[0].size());
  std::vector<AnswerTrie> tries;
  for (const auto& list : answers) {
    CHECK(list.size() == answers[0].size(), kInput,
          "policy forest: expected {} answers for every prompt, found {}", answers[0].size(),
          list.size());
    const bool is_known = !tries.empty() && list == answers[tries.size() - 1];
    tries.push_back(is_known ? tries.back() : build_trie(list));
    out.single_tokens &= tries.back().nodes.size() == 1;
  }
  int64_t prompt = -1, root = -1, prompt_end = 0;
  for (int64_t s = 0; s < out.num_samples; ++s) {
    const PolicySample& sample = samples[s];
    if (sample.prompt != prompt) {
      CHECK(sample.prompt > prompt, kInput, "policy forest: samples of prompt {} are apart",
            sample.prompt);
      prompt = sample.prompt;
      root = model.add_prompt(out.forest, prompts[prompt]);
      prompt_end = out.forest.num_tokens();
    }
    int64_t segment = root, begin = prompt_end, end = prompt_end;
    bool answered = out.num_answers > 0;
    // Without answers the last token is a target only.
    size_t kept = sample.tokens.size() - (answered || sample.tokens.empty() ? 0 : 1);
    if (kept > 0) {
      begin = out.forest.num_tokens();
      segment = out.forest.add(root, std::span(sample.tokens.data(), kept));
      end = out.forest.num_tokens();
    }
    for (int64_t t = 0; t < sample.sampled; ++t) {
      out.sources.push_back(t == 0 ? prompt_end - 1 : begin + t - 1);
      out.targets.push_back(sample.tokens.at(t));
      out.rows.push_back(s);
    }
    if (answered) add_answers(out, tries[prompt], segment, end, s);
    if (answered && !sample.finish.empty())
      add_finish(out, answers[prompt].at(sample.answer), sample.finish, segment, s);
  }
  return out;
}

PolicyOutput evaluate_policy(const LanguageModel& model, const PolicyForest& forest,
                             bool with_entropy) {
  // The states that are asked for, one kind after the other.
  const std::vector<int64_t>* const kinds[] = {&forest.sources, &forest.node_sources,
                                               &forest.finish_sources};
  std::vector<int64_t> needed;
  for (const auto* kind : kinds) needed.insert(needed.end(), kind->begin(), kind->end());
  const at::Tensor states = model.hidden_states_at(forest.forest, needed);
  int64_t next = 0;
  const auto take = [&](const std::vector<int64_t>& kind) {
    const auto count = static_cast<int64_t>(kind.size());
    next += count;
    return states.narrow(0, next - count, count);
  };
  const at::Tensor tokens_hidden = take(forest.sources), nodes = take(forest.node_sources),
                   finish = take(forest.finish_sources);
  PolicyOutput output;
  if (forest.sources.empty()) {
    output.logprobs = at::zeros({0});
    if (with_entropy) output.entropy = at::zeros({0});
  } else {
    LogprobOutput tokens =
        linear_logprob(tokens_hidden, model.head_weight(), at::tensor(forest.targets), with_entropy,
                       model.numerics());
    output.logprobs = tokens.logprobs;
    output.entropy = tokens.entropy;
  }
  if (forest.num_answers == 0) return output;
  const at::Tensor scores = answer_scores(model, forest, nodes);
  output.answer_logprobs = scores.log_softmax(-1);
  if (!forest.finish_sources.empty())
    output.contract_logprobs = scores.logsumexp(-1) + score_finish(model, forest, finish);
  return output;
}

}  // namespace etrlrec
