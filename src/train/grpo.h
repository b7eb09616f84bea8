// Group relative policy optimisation on rollouts of the current policy (method.md D, G.6). One
// optimiser step per batch of rollouts, so the old policy is the current one: its log-probabilities
// are recomputed by the same forward pass (ratio exactly 1) and nothing needs to be stored between
// steps. Knows tokens and rewards, neither texts nor items.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "train/advantage.h"
#include "train/trainer.h"

namespace etrlrec {

struct GrpoRow {
  std::vector<int64_t> prompt;
  std::vector<std::vector<int64_t>> answers;  // all different; empty: free text
  int32_t target = -1;                        // index into answers, -1 unknown
  int64_t id = 0;                             // for the reward function
};

struct Rollout {
  int64_t id = 0;          // of the row
  int64_t completion = 0;  // 0 .. G - 1
  const Completion* output = nullptr;
};

struct ScoredCompletion {
  std::vector<double>
      reward_by_answer;  // [answers] reward if that answer were given; empty in free text
  double reward = 0;     // free text only
  std::map<std::string, double> parts;  // of the answer as sampled, for logs: rewards/<name>/mean
  std::string invalid;  // reason why the completion does not count, empty when valid
};
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
  std::string advantage = "rloo";  // group | batch | mean | rloo
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
};

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

  // The two halves of loss(), for --check-rewards and tests.
  struct Batch {
    std::vector<const GrpoRow*> rows;
    std::vector<Completion> completions;  // [rows * G]
    std::vector<Rollout> rollouts;
    std::vector<ScoredCompletion> scored;
    std::vector<double> rewards;  // as sampled
  };
  Batch roll_out(std::span<const int64_t> rows, int64_t step, uint64_t seed) const;
  // `noise`: of the differentiated pass only; rollouts and the reference see none.
  LossOutput batch_loss(const Batch& batch, int64_t step, const TrainingNoise& noise = {});

 private:
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
};

}  // namespace etrlrec
