// What rollouts are asked and what they return, in token ids.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/sampling.h"
#include "engine/scoring.h"

namespace etrlrec {

// What follows the reasoning, described in tokens only: when a row has produced
// `max_reasoning_tokens` without `close`, `close` is appended by force; after `close` the answer is
// chosen among `answers` only (each a token sequence), then `finish` is appended and the row ends.
// An empty `answers` means free text until eos or max_new_tokens. An end token inside the reasoning
// is kept and followed by the forced close. A `close` that has begun when the budget ends is
// completed.
struct ReasoningFormat {
  std::vector<int64_t> close;   // e.g. the tokens of "</reasoning><answer>"
  std::vector<int64_t> finish;  // e.g. the tokens of "</answer>" + eos
  int64_t max_reasoning_tokens = 0;
};

struct GenerationRequest {
  std::vector<int64_t> prompt;
  Answers answers;  // allowed ones, e.g. the tokens of "1" .. "20"; none begins another
};

struct Completion {
  std::vector<int64_t> ids;  // completion tokens, forced ones included
  std::vector<float>
      logprobs;  // of each id under the sampling-free model (temperature 1, full support)
  int64_t reasoning_tokens = 0;        // ids before `close`; 0 in free text
  bool forced_close = false;           // the budget ended before the model closed its reasoning
  int64_t answer = -1;                 // index into answers, -1 in free text
  std::vector<float> answer_logprobs;  // log p(answer k | reasoning), normalised over the answers
  // With GenerationOptions::answer_mass: log of the probability of all answers together among all
  // texts that begin as all of them do, so that answer_logprobs[k] + answer_mass is not relative to
  // the other answers.
  float answer_mass = 0;
};

struct GenerationOptions {
  SamplingOptions sampling;
  ReasoningFormat format;
  int64_t completions_per_prompt = 1;
  int64_t max_new_tokens = 256;  // free text only
  int64_t min_new_tokens = 0;    // free text only: no end token before
  std::vector<int64_t> eos_ids;  // any of them ends a text; it is kept
  // Free text only: whether the completion so far ends here (stop strings, engine/text_stream.h).
  // Asked once after each id, from several threads.
  std::function<bool(std::span<const int64_t> completion)> is_complete;
  bool answer_mass = false;      // costs a product with the whole head for each completion
  int64_t max_batch = 0;         // rows that grow together; 0: default_max_batch
  int64_t batch_tokens = 16384;  // prompt tokens computed together
  // Prompts of earlier calls; this call's stay there. nullptr: only what the prompts of this call
  // share is computed once.
  PrefixCache* prefix_cache = nullptr;
  std::function<void(int64_t done)> on_progress;  // completions finished so far
  std::function<void(int64_t row, int64_t id)>
      on_token;  // each id as it is decided, from the calling thread
};

}  // namespace etrlrec
