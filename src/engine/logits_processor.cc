#include "engine/logits_processor.h"

#include <algorithm>
#include <limits>

namespace etrlrec {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Virtual tokens (tuning/prompt_tuning.h) stand in prompts only and have no logit.
bool is_virtual(int64_t id, const SamplingScratch& scratch) {
  return id >= static_cast<int64_t>(scratch.logits.size());
}

void penalise_repetition(const TokensSoFar& tokens, double penalty, SamplingScratch& scratch) {
  std::vector<int64_t>& seen = scratch.order;
  seen.assign(tokens.prompt.begin(), tokens.prompt.end());
  seen.insert(seen.end(), tokens.completion.begin(), tokens.completion.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto factor = static_cast<float>(penalty);
  for (int64_t id : seen) {
    if (is_virtual(id, scratch)) continue;
    float& logit = scratch.logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / factor : logit * factor;
  }
}

void forbid_repeated_ngrams(const TokensSoFar& tokens, int64_t size, SamplingScratch& scratch) {
  std::vector<int64_t>& text = scratch.order;
  text.assign(tokens.prompt.begin(), tokens.prompt.end());
  text.insert(text.end(), tokens.completion.begin(), tokens.completion.end());
  const int64_t context = size - 1, length = static_cast<int64_t>(text.size());
  for (int64_t begin = 0; begin + context < length; ++begin) {
    const int64_t id = text[static_cast<size_t>(begin + context)];
    if (is_virtual(id, scratch)) continue;
    if (std::equal(text.begin() + begin, text.begin() + begin + context, text.end() - context))
      scratch.logits[static_cast<size_t>(id)] = kForbidden;
  }
}

}  // namespace

bool depends_on_tokens(const SamplingOptions& options) {
  return options.repetition_penalty != 1 || options.no_repeat_ngram_size > 0;
}

std::span<const float> process_logits(std::span<const float> logits, const TokensSoFar& tokens,
                                      const SamplingOptions& options,
                                      std::span<const int64_t> forbidden,
                                      SamplingScratch& scratch) {
  scratch.logits.assign(logits.begin(), logits.end());
  if (options.repetition_penalty != 1)
    penalise_repetition(tokens, options.repetition_penalty, scratch);
  if (options.no_repeat_ngram_size > 0)
    forbid_repeated_ngrams(tokens, options.no_repeat_ngram_size, scratch);
  for (int64_t id : forbidden) scratch.logits[static_cast<size_t>(id)] = kForbidden;
  return scratch.logits;
}

}  // namespace etrlrec
