// Rollouts: prompts in, completions out, with the log-probability of every sampled token. The engine handles token ids
// only. It knows nothing about items, prompts or rewards.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "models/llm.h"

namespace etrlrec {

struct SamplingOptions {
  double temperature = 1.0;                     // 0: greedy
  int64_t top_k = 0;                            // 0: off
  double top_p = 1.0;
  uint64_t seed = 42;                           // each (prompt, completion) has a stream of its own
};

// What follows the reasoning, described in tokens only: when a row has produced `max_reasoning_tokens` without
// `close`, `close` is appended by force; after `close` the answer is chosen among `answers` only (each a token sequence),
// then `finish` is appended and the row ends. An empty `answers` means free text until eos or max_new_tokens.
struct ReasoningFormat {
  std::vector<int64_t> close;                   // e.g. the tokens of "</reasoning><answer>"
  std::vector<int64_t> finish;                  // e.g. the tokens of "</answer>" + eos
  int64_t max_reasoning_tokens = 0;
};

struct GenerationRequest {
  std::vector<int64_t> prompt;
  std::vector<std::vector<int64_t>> answers;    // allowed answers, e.g. the tokens of "1" .. "20"
};

struct Completion {
  std::vector<int64_t> ids;                     // completion tokens, forced ones included
  std::vector<float> logprobs;                  // of each id under the sampling-free model (temperature 1, full support)
  int64_t reasoning_tokens = 0;                 // ids before `close`
  bool forced_close = false;                    // the budget ended before the model closed its reasoning
  int64_t answer = -1;                          // index into answers, -1 in free text
  std::vector<float> answer_logprobs;           // log p(answer k | reasoning), normalised over the answers
};

struct GenerationOptions {
  SamplingOptions sampling;
  ReasoningFormat format;
  int64_t completions_per_prompt = 1;
  int64_t max_new_tokens = 256;                 // free text only
  int64_t eos_id = -1;
  int64_t batch_tokens = 16384;                 // prompt tokens prefilled together
  std::function<void(int64_t done)> on_progress;   // completions finished so far
};

// [requests * completions_per_prompt], request-major, in input order; independent of batching.
std::vector<Completion> generate(const Llm& model, std::span<const GenerationRequest> requests,
                                 const GenerationOptions& options);

// log p(answer | prefix) for every answer of every row, normalised over the answers, [rows][answers]; differentiable
// when gradients are on. Answers of several tokens are scored through a trie below the prefix.
std::vector<at::Tensor> answer_logprobs(const Llm& model, std::span<const std::vector<int64_t>> prefixes,
                                        std::span<const std::vector<std::vector<int64_t>>> answers);

}  // namespace etrlrec
