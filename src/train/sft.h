// Supervised fine-tuning on completions (method.md G.2): cross-entropy of the completion's tokens
// only, balanced between the reasoning and the answer, over a token forest in which rows share what
// they begin with: the instruction, or the whole prompt. Knows token ids only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/language_model.h"
#include "train/trainer.h"

namespace etrlrec {

struct SftRow {
  std::vector<int64_t> prompt;      // at least one token
  std::vector<int64_t> completion;  // end token included
  // The answer's own tokens are completion[answer_begin, answer_begin + answer_tokens); everything
  // else of the completion (reasoning, tags, end token) is the reasoning segment. answer_tokens =
  // 0: one segment.
  int64_t answer_begin = 0, answer_tokens = 0;
  std::vector<int16_t>
      fields;         // of each completion token, index into field_names; empty: not tracked
  double weight = 1;  // of its loss; metrics are without it
};

struct SftOptions {
  std::string loss_type = "segment";  // segment: mean over reasoning + answer_weight * mean over
                                      // answer; token: flat mean
  double answer_weight = 1;           // lambda_a
  double prompt_weight = 0;  // weight of the mean over prompt tokens (segment), of each one (token)
  double neftune_noise_alpha = 0;  // noise on the input embeddings (nn/noise.h); 0: none
  double hidden_dropout = 0;       // nn/noise.h
  // Tokens of one forward and backward pass, beginnings that rows share counted once, a single row
  // excepted; 0: all rows of a micro-batch at once. More tokens share more and need more memory;
  // the gradient is the same.
  int64_t tokens_per_pass = 4096;
  int64_t accuracy_steps = 10;  // token accuracy is measured at every such step; 0: never
  std::vector<std::string> field_names;
  std::map<std::string, double>
      field_weights;  // of a token inside its segment's mean; others weigh 1
};

// Metrics: "nll" (flat mean over completion tokens); "accuracy", "accuracy/reasoning",
// "accuracy/answer" and "accuracy/<field>" for every field that occurs, teacher-forced, before the
// step is taken.
class SftObjective : public Objective {
 public:
  SftObjective(LanguageModel& model, std::vector<SftRow> rows, SftOptions options);
  int64_t num_rows() const override { return static_cast<int64_t>(rows_.size()); }
  ParameterMap& parameters() override { return model_.parameters(); }
  Numerics numerics() const override { return model_.numerics(); }
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;
  LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                           const Backward& backward) override;

 private:
  LanguageModel& model_;
  std::vector<SftRow> rows_;
  SftOptions options_;
};

}  // namespace etrlrec
