// Beam search over a key/value cache, for decoders and encoder-decoders: free text with the
// semantics of Transformers, or constrained to the items of a trie, so that every result is an item
// and no item comes twice. Many prompts at once, any width.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/item_trie.h"
#include "engine/prefix_cache.h"
#include "models/language_model.h"

namespace etrlrec {

// When a prompt ends although beams could go on, once num_beams hypotheses are finished: kFalse
// when the best running beam, were it to end now, is no better than the worst of them; kTrue at
// once; kNever when it could not become better at the greatest length (for length_penalty > 0).
enum class EarlyStopping : int8_t { kFalse, kTrue, kNever };

struct BeamOptions {
  int64_t num_beams = 4;
  int64_t num_return_sequences = 0;  // best ones returned, 0: num_beams
  int64_t max_new_tokens = 64;       // free text; a trie ends by itself
  double length_penalty = 1;         // score = sum of log-probabilities / length ^ length_penalty
  EarlyStopping early_stopping = EarlyStopping::kFalse;
  std::vector<int64_t> eos_ids;         // free text only; any of them ends a hypothesis and counts
  int64_t max_batch = 256;              // rows (prompts * num_beams) that grow together
  PrefixCache* prefix_cache = nullptr;  // as in GenerationOptions
  std::function<void(int64_t done)> on_progress;  // prompts finished so far
};

struct BeamRequest {
  std::vector<int64_t> prompt;
  const ItemTrie* items = nullptr;  // nullptr: free text
};

struct Hypothesis {
  std::vector<int64_t> ids;     // end token included
  std::vector<float> logprobs;  // of each id, over the whole vocabulary
  double score = 0;             // length-penalised sum
  std::vector<int64_t> items;   // that have these ids; empty in free text
};

// For each prompt at most num_return_sequences hypotheses, best first; fewer where the trie has
// fewer sequences. Independent of max_batch up to the rounding of the logits. No gradient.
std::vector<std::vector<Hypothesis>> beam_search(const LanguageModel& model,
                                                 std::span<const BeamRequest> requests,
                                                 const BeamOptions& options);

}  // namespace etrlrec
