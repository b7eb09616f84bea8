// Groups of completions as one token forest: prompt roots, completions below them, tries of answers
// below those. One forward pass gives the log-probability of every sampled token and the whole
// distribution over the answers of every completion. Knows token ids only.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace etrlrec {

// A completion to be evaluated below one of the prompts.
struct PolicySample {
  int64_t prompt = 0;           // index into the prompts
  std::vector<int64_t> tokens;  // everything before the answer; all of it without answers
  int64_t sampled =
      0;  // leading tokens that the policy chose; forced ones after them carry no loss
  int64_t answer = -1;               // chosen answer, -1 without answers
  std::vector<int64_t> finish = {};  // what the contract wants after the answer
};

struct PolicyForest {
  TokenForest forest;
  std::vector<int64_t> sources,
      targets;                // [T] hidden state of each prediction and the token it has to give
  std::vector<int64_t> rows;  // [T] sample of each prediction
  // Answers: every (sample, trie node) has a hidden state, every edge leaves a node with a token;
  // an answer is a path.
  int64_t num_samples = 0, num_answers = 0;
  bool single_tokens = true;                     // all answers are one token: normalisers cancel
  std::vector<int64_t> node_sources;             // [M]
  std::vector<int64_t> edge_nodes, edge_tokens;  // [E]
  std::vector<int64_t> first_edges;              // [M] one edge of each node
  std::vector<int64_t> path_edges,
      path_cells;  // edges and sample * num_answers + answer they belong to
  // The finish after the chosen answers: hidden states, tokens, samples. [F]
  std::vector<int64_t> finish_sources, finish_targets, finish_rows;
};

// The forest is planted for `model` (LanguageModel::add_prompt). Samples of one prompt must be
// consecutive. `answers[p]` belongs to prompt p: the same number for
// every prompt, all different (kInput); all empty for free text.
PolicyForest build_policy_forest(const LanguageModel& model,
                                 std::span<const std::vector<int64_t>> prompts,
                                 std::span<const std::vector<std::vector<int64_t>>> answers,
                                 std::span<const PolicySample> samples);

struct PolicyOutput {
  at::Tensor logprobs;  // [T]
  at::Tensor entropy;   // [T], undefined unless asked for
  at::Tensor
      answer_logprobs;  // [samples, answers] normalised over the answers; undefined for free text
  // Where the samples have a finish: log p(one of the answers, then the finish), [samples].
  at::Tensor contract_logprobs;
};
// Differentiable unless at::NoGradGuard is on.
PolicyOutput evaluate_policy(const LanguageModel& model, const PolicyForest& forest,
                             bool with_entropy);

}  // namespace etrlrec
