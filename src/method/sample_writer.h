// Completions of reinforcement with their rewards, for people to read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "text/tokenizer.h"
#include "train/grpo.h"

namespace etrlrec {

// A RolloutLog that writes the first completions of every logged step to
// FOLDER/samples/step-<n>.jsonl. A repeated step replaces its file.
class SampleWriter {
 public:
  // `samples`: completions kept of a step, 0: none. `tokenizer` outlives the writer.
  SampleWriter(std::filesystem::path folder, int64_t samples, int64_t logging_steps,
               const Tokenizer& tokenizer)
      : folder_(std::move(folder)),
        samples_(samples),
        logging_steps_(logging_steps),
        tokenizer_(&tokenizer) {}

  void operator()(int64_t step, std::span<const Rollout> rollouts,
                  std::span<const ScoredCompletion> scored, std::span<const double> rewards,
                  std::span<const double> advantages);

 private:
  nlohmann::ordered_json sample(const Rollout& rollout, const ScoredCompletion& scored,
                                double reward, double advantage) const;

  std::filesystem::path folder_;
  int64_t samples_, logging_steps_;
  const Tokenizer* tokenizer_;
  int64_t last_step_ = -1;  // only the first micro-batch of a step is written
};

}  // namespace etrlrec
