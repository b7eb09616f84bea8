// Group advantages and policy losses (method.md D), pinned by golden numbers of TRL. A reward
// that is not finite is an error (kNumbers): summing it away would train on nothing.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace etrlrec {

// kind: "group" z-score with sample std and floor, (R - mean) / (max(std, floor) + epsilon);
// "batch" the same with the std of all rewards; "mean" (Dr.GRPO); "rloo" (leave-one-out). Rewards
// of one group are consecutive.
std::vector<double> group_advantages(std::span<const double> rewards, int64_t group_size,
                                     const std::string& kind, double std_floor,
                                     double epsilon = 1e-4);
// GDPO (Liu et al. 2026, method.md G.5 N1): every component of the reward gets its z-score in its
// group, with sample std and floor; an advantage is the sum of these by the weights of its
// completion, whitened over all completions. A component that never differs adds nothing.
struct ComponentRewards {
  std::vector<double> values, weights;  // one of each completion
};
std::vector<double> component_advantages(std::span<const ComponentRewards> components,
                                         int64_t group_size, double std_floor,
                                         double epsilon = 1e-4);
// Pass@k bonus of a group with `hits` exact hits (method.md D): {of a hit, of a miss}; zeros
// where pass@k is 0 or 1.
struct PassAtKBonus {
  double hit = 0, miss = 0;
};
PassAtKBonus pass_at_k_bonus(int64_t group_size, int64_t hits, int64_t k);
// Sample std of each group.
std::vector<double> group_stds(std::span<const double> rewards, int64_t group_size);
// Share of groups whose sample std is at most the threshold.
double zero_variance_share(std::span<const double> rewards, int64_t group_size,
                           double threshold = 1e-8);
// Mean over groups of the sample std.
double mean_group_std(std::span<const double> rewards, int64_t group_size);

struct PolicyLossOptions {
  double epsilon = 0.2, epsilon_high = 0.2;  // the ratio is clipped to [1 - eps, 1 + eps_high]
  double beta = 0;                           // KL weight
  std::string kl_estimator = "k3";           // k3 | k2, differentiated as a loss term
  // grpo: mean over rows of token means; dapo: mean over all tokens of a step (bnpo: of a
  // micro-batch); dr_grpo: sum over rows * max length; sum: mean over rows of token sums, the
  // gradient of the expected reward itself; cispo: averaged as dapo, of the log-probabilities by
  // their clipped ratios, so that no token loses its gradient (MiniMax-M1).
  std::string loss_type = "dapo";
  std::string importance_sampling_level = "token";  // token | sequence (GSPO)
  int64_t max_completion_length = 0;                // normaliser of dr_grpo
};
struct PolicyLoss {
  at::Tensor loss;                                // scalar
  double kl = 0, clip_ratio = 0, mean_ratio = 1;  // over the tokens; kl is the k3 value
  double clip_low = 0, clip_high = 0;             // clipped below with A < 0, above with A > 0
};
// What a micro-batch divides by, so that the micro-batches of a step, weighted by their shares of
// it, sum up to the loss of the whole step: its share times the step's rows and tokens.
struct LossScale {
  double rows = 0, tokens = 0;
};
// Weight of one token of each row, [R]: loss = sum_t weight[row(t)] * loss(t). counts: int64 tokens
// per row. Without a scale these rows are the whole step.
at::Tensor row_weights(const at::Tensor& counts, const PolicyLossOptions& options,
                       const std::optional<LossScale>& scale = {});
// logprobs, old_logprobs (undefined: the current ones, detached), reference_logprobs (may be
// undefined when beta = 0): [T] packed tokens of all completions, so that nothing masked is here;
// row_of_token [T] int64; advantages [R]. `weights` [R] overrides row_weights of the tokens given
// (used when a row also has an exact term).
PolicyLoss policy_loss(const at::Tensor& logprobs, const at::Tensor& old_logprobs,
                       const at::Tensor& reference_logprobs, const at::Tensor& row_of_token,
                       const at::Tensor& advantages, const PolicyLossOptions& options,
                       const at::Tensor& weights = {});

}  // namespace etrlrec
