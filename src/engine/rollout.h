// The state of one growing completion: what the row does with its next row of logits. Internal to
// engine/engine.cc.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/generation.h"

namespace etrlrec {

class RolloutRow {
 public:
  // `before`: LanguageModel::prompt_parts(prompt).text.
  RolloutRow(const GenerationRequest& request, std::span<const int64_t> before,
             const GenerationOptions& options, uint64_t index, Completion& completion);

  // Appends the next id to the completion. False when the logits are not finite.
  bool step(std::span<const float> logits, SamplingScratch& scratch);
  bool is_done() const { return phase_ == Phase::kDone; }
  // Closed, but its answers have several tokens: they are scored outside of the decoding loop.
  bool awaits_answer() const { return phase_ == Phase::kAwaits; }
  // Ends a row that awaits its answer; `answer_logprobs` are normalised.
  void choose_answer(std::vector<float> answer_logprobs, float answer_mass,
                     SamplingScratch& scratch);
  const GenerationRequest& request() const { return *request_; }
  Completion& completion() const { return *completion_; }

  // Tokens a row may hold before it leaves the decoding loop.
  static int64_t capacity(const GenerationRequest& request, const GenerationOptions& options);

 private:
  enum class Phase : int8_t { kReasoning, kFree, kForcedClose, kAnswer, kAwaits, kFinish, kDone };
  void append(int64_t id, float logprob);
  SampledToken sample(std::span<const float> logits, SamplingScratch& scratch);
  bool is_end(int64_t id) const;
  void after_reasoning_token(int64_t id);
  void force_close(size_t matched);
  void begin_answer();
  bool answer_step(std::span<const float> logits, SamplingScratch& scratch);
  size_t matched_close() const;              // tokens of `close` that the completion ends with
  std::span<const int64_t> pending() const;  // forced tokens of this phase

  const GenerationRequest* request_;
  std::span<const int64_t> before_;
  const GenerationOptions* options_;
  Completion* completion_;
  Rng rng_;
  Phase phase_;
  size_t next_forced_ = 0;
};

}  // namespace etrlrec
