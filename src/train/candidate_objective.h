// Cross-entropy over the candidates: the share of the target's text among the texts of all
// candidates, below the prompt and the reasoning, is to grow. The texts stand as a trie in the
// token forest, so a row costs little more than its prompt. Unlike cross-entropy of the target's
// own tokens (sft.h) it moves only how the candidates compare, not how likely titles are as texts.
// Knows token ids only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/language_model.h"
#include "train/trainer.h"

namespace etrlrec {

struct CandidateRow {
  std::vector<int64_t> prompt;                // at least one token
  std::vector<int64_t> reasoning;             // up to the answer, tags included; may be empty
  std::vector<std::vector<int64_t>> answers;  // of the candidates, all different, none beginning
                                              // another one; the same number in all rows
  int32_t target = 0;                         // index into answers
  double weight = 1;                          // of its loss
};

struct CandidateLossOptions {
  double answer_weight = 1;   // of -log p(target) beside the mean over the reasoning's tokens
  double hidden_dropout = 0;  // nn/noise.h
  // Tokens of one forward and backward pass, answers included, a single row excepted; 0: a
  // micro-batch at once. The gradient is the same.
  int64_t tokens_per_pass = 8192;
};

// Loss: mean over the rows of weight * (answer_weight * -log p(target) + the mean of -log p over
// the reasoning's tokens). Metrics, without weights: "nll" (of the targets), "accuracy/answer"
// (targets that lead), "nll/reasoning" where there is one. Error (kInput) for a row that breaks
// what CandidateRow says.
class CandidateObjective : public Objective {
 public:
  CandidateObjective(LanguageModel& model, std::vector<CandidateRow> rows,
                     CandidateLossOptions options);
  int64_t num_rows() const override { return static_cast<int64_t>(rows_.size()); }
  ParameterMap& parameters() override { return model_.parameters(); }
  Numerics numerics() const override { return model_.numerics(); }
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;
  LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                           const Backward& backward) override;

 private:
  LossOutput loss_of(std::span<const int64_t> rows, int64_t tokens_per_pass, Rng& rng,
                     const Backward& backward) const;

  LanguageModel& model_;
  std::vector<CandidateRow> rows_;
  CandidateLossOptions options_;
};

}  // namespace etrlrec
