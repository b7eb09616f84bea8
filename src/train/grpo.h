// Group relative policy optimisation on rollouts of the current policy (method.md D, G.6). One
// optimiser step per batch of rollouts, so the old policy is the current one: its log-probabilities
// are recomputed by the same forward pass (ratio exactly 1) and nothing needs to be stored between
// steps. Knows tokens and rewards, neither texts nor items.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "train/advantage.h"
#include "train/rollout_batch.h"
#include "train/trainer.h"

namespace etrlrec {

// All rollouts of a micro-batch at once, results in the same order. Must depend on its arguments
// only.
using RewardFn =
    std::function<std::vector<ScoredCompletion>(std::span<const Rollout> rollouts, int64_t step)>;

struct GrpoOptions {
  int64_t num_generations = 8;  // G
  double temperature = 1.0;  // of the rollouts; log-probabilities are always those of temperature 1
  double top_p = 1.0;
  ReasoningFormat format = {};
  int64_t max_new_tokens = 256;  // free text
  int64_t eos_id = -1;
  // group | batch | mean | rloo | gdpo, which needs a reward with components.
  std::string advantage = "rloo";
  double std_floor = 0.05;
  PolicyLossOptions policy{.loss_type = "sum"};
  // The answer of a sampled reasoning is one categorical variable, so its reward is taken as the
  // exact expectation over all answers instead of that of one draw (G.6, Rao-Blackwell).
  bool exact_answer_expectation = true;
  double lambda_ce = 0.0;  // with the exact expectation: weight of log p(target)
  // Weight of log p(a valid answer, then the closing tags) given the reasoning: these tokens are
  // forced in rollouts, so without it nothing holds them in place.
  double lambda_format = 0.0;
  int64_t pass_at_k = 0;                    // without it: pass@k bonus on the advantages, 0: off
  bool mask_truncated_completions = false;  // forced closes carry no policy loss
  // DAPO: groups whose rewards differ by less than a std of 0.01 are dropped; up to half as many
  // further prompts as a step has are rolled out to take their places.
  bool dynamic_sampling = false;
};
// Errors (kUsage) for names that are not known and for what does not go together.
void check_grpo_options(const GrpoOptions& options);

// Called after the advantages are known; `rewards` are what they were computed from
// (the expectation where it is exact).
using RolloutLog =
    std::function<void(int64_t step, std::span<const Rollout>, std::span<const ScoredCompletion>,
                       std::span<const double> rewards, std::span<const double> advantages)>;

class GrpoObjective : public Objective {
 public:
  // `reference` is needed when policy.beta > 0: the model itself means "adapter off".
  GrpoObjective(LanguageModel& model, LanguageModel* reference, std::vector<GrpoRow> rows,
                GrpoOptions options, RewardFn reward, RolloutLog log = {});
  int64_t num_rows() const override { return static_cast<int64_t>(rows_.size()); }
  ParameterMap& parameters() override { return model_.parameters(); }
  Numerics numerics() const override { return model_.numerics(); }
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;

  std::vector<Finding> review(std::span<const LogEntry> logs) const override;
  // Rolls out all micro-batches, so that what is taken over a step is taken over all of it.
  void begin_step(std::span<const MicroBatch> micro_batches, int64_t step) override;

  // The parts of loss(), for --check-rewards and tests.
  using Batch = RolloutBatch;
  Batch roll_out(std::span<const int64_t> rows, int64_t step, uint64_t seed) const;
  // What a micro-batch takes from its step.
  struct StepPart {
    std::vector<double> values, advantages;  // of completions: what is compared, and the result
    LossScale scale;
  };
  // `shares`: what each batch counts for in the step.
  std::vector<StepPart> plan_step(std::span<const Batch* const> batches,
                                  std::span<const double> shares) const;
  // `noise`: of the differentiated pass only; rollouts and the reference see none.
  LossOutput batch_loss(const Batch& batch, const StepPart& part, int64_t step,
                        const TrainingNoise& noise = {});
  // Of a batch that is a whole step.
  LossOutput batch_loss(const Batch& batch, int64_t step, const TrainingNoise& noise = {});

 private:
  struct Prepared {
    Batch batch;
    StepPart part;
    std::map<std::string, double> metrics;  // of the rollouts
  };
  void sample_dynamically(std::span<const MicroBatch> asked, int64_t step);
  at::Tensor answer_objective(const at::Tensor& logprobs, const at::Tensor& reference,
                              const at::Tensor& rewards, const Batch& batch) const;
  void add_pass_at_k_bonus(const Batch& batch, std::vector<double>& advantages) const;
  void add_answer_metrics(const Batch& batch, const at::Tensor& logprobs,
                          std::map<std::string, double>& metrics) const;

  LanguageModel& model_;
  LanguageModel* reference_;
  std::vector<GrpoRow> rows_;
  GrpoOptions options_;
  RewardFn reward_;
  RolloutLog log_;
  std::deque<Prepared> prepared_;  // of the current step, in the order of loss()
};

}  // namespace etrlrec
