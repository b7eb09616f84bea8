// Completions of reinforcement with their rewards, for people to read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "method/row.h"
#include "temporal/explanation.h"
#include "text/tokenizer.h"
#include "train/grpo.h"

namespace etrlrec {

// The reasoning of a completion, and what it claims about its row.
struct ExplainedCompletion {
  std::string reasoning;
  Explanation explanation;
};
ExplainedCompletion explain_completion(std::string_view text, const RowView& row);

// A RolloutLog that writes the first completions of every logged step to
// FOLDER/samples/step-<n>.jsonl, those with reasoning in sentences, too (temporal/explanation.h). A
// repeated step replaces its file.
class SampleWriter {
 public:
  // `samples`: completions kept of a step, 0: none. `rows`, whose numbers are the ids of rollouts,
  // and `tokenizer` outlive the writer.
  SampleWriter(std::filesystem::path folder, int64_t samples, int64_t logging_steps,
               const RowSource& rows, const Tokenizer& tokenizer)
      : folder_(std::move(folder)),
        samples_(samples),
        logging_steps_(logging_steps),
        rows_(&rows),
        tokenizer_(&tokenizer) {}

  void operator()(int64_t step, std::span<const Rollout> rollouts,
                  std::span<const ScoredCompletion> scored, std::span<const double> rewards,
                  std::span<const double> advantages);

 private:
  nlohmann::ordered_json sample(const Rollout& rollout, const ScoredCompletion& scored,
                                double reward, double advantage) const;

  std::filesystem::path folder_;
  int64_t samples_, logging_steps_;
  const RowSource* rows_;
  const Tokenizer* tokenizer_;
  int64_t last_step_ = -1;  // only the first micro-batch of a step is written
};

}  // namespace etrlrec
