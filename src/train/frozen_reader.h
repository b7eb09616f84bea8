// How much a sampled reasoning helps the frozen policy of the first step to the target (method.md
// G.3 (7)). Knows token ids only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/scoring.h"
#include "models/language_model.h"

namespace etrlrec {

struct ReasonedPrompt {
  std::vector<int64_t> prompt;
  Answers answers;                               // of the candidates (check_answers)
  int32_t target = 0;                            // index into answers
  std::vector<std::vector<int64_t>> reasonings;  // any number; one may be empty
};

class FrozenReader {
 public:
  // `reference`: a frozen copy, or `policy` itself, which is then read without its adapter. Both
  // outlive the reader. `close`: what ends a reasoning, at least one token.
  FrozenReader(LanguageModel& policy, LanguageModel& reference, std::vector<int64_t> close);
  // [rows][reasonings], in nats: log p_0(target | prompt, reasoning) - log p_0(target | prompt),
  // both among the answers; the second has an empty reasoning, which is closed at once. A prompt
  // is computed once, for all that hangs below it. Rows go through the model in groups of
  // `batch_tokens`. No gradient.
  std::vector<std::vector<double>> gains(std::span<const ReasonedPrompt> rows,
                                         int64_t batch_tokens = 16384) const;

 private:
  void read(std::span<const ReasonedPrompt> rows, std::vector<std::vector<double>>& gains) const;
  int64_t num_tokens(const ReasonedPrompt& row) const;

  LanguageModel& policy_;
  LanguageModel& reference_;
  std::vector<int64_t> close_;
};

}  // namespace etrlrec
