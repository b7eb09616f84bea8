// GRPO (Shao et al. 2024), Dr.GRPO (Liu et al. 2025), DAPO (Yu et al. 2025), GSPO (Zheng et al.
// 2025), CISPO (MiniMax-M1 2025), GDPO (Liu et al. 2026) on packed tokens. Departure: log-ratios of
// the KL are clamped to +-20 and k3 to 10, against overflow.
#include "train/advantage.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace etrlrec {
namespace {

struct Moments {
  double mean = 0, std = 0;  // sample std (n - 1); 0 for a single value
};

Moments moments(std::span<const double> values) {
  Moments m;
  for (double v : values) m.mean += v;
  m.mean /= static_cast<double>(values.size());
  double square = 0;
  for (double v : values) square += (v - m.mean) * (v - m.mean);
  if (values.size() > 1) m.std = std::sqrt(square / static_cast<double>(values.size() - 1));
  return m;
}

int64_t check_groups(std::span<const double> rewards, int64_t group_size) {
  CHECK(group_size > 0 && rewards.size() % static_cast<size_t>(group_size) == 0, kInput,
        "advantages: expected whole groups of {}, found {} rewards", group_size, rewards.size());
  for (size_t i = 0; i < rewards.size(); ++i)
    CHECK(std::isfinite(rewards[i]), kNumbers, "advantages: reward {} is not finite: {}", i,
          rewards[i]);
  return static_cast<int64_t>(rewards.size()) / group_size;
}

double mean_of(const at::Tensor& values) {
  return values.numel() == 0 ? 0 : values.to(at::kDouble).mean().item<double>();
}

// Per-token KL estimate; d = log reference - log policy.
at::Tensor kl_k3(const at::Tensor& d) { return (d.exp() - d - 1).clamp(-10, 10); }

}  // namespace

std::vector<double> group_advantages(std::span<const double> rewards, int64_t group_size,
                                     const std::string& kind, double std_floor, double epsilon) {
  int64_t groups = check_groups(rewards, group_size);
  CHECK(kind == "group" || kind == "batch" || kind == "mean" || kind == "rloo", kUsage,
        "unknown advantage of one reward \"{}\"; known: group, batch, mean, rloo", kind);
  CHECK(kind != "rloo" || group_size > 1, kUsage, "advantage rloo: expected groups of 2 or more");
  double batch_std = kind == "batch" ? moments(rewards).std : 0;
  std::vector<double> advantages(rewards.size());
  for (int64_t g = 0; g < groups; ++g) {
    auto group = rewards.subspan(g * group_size, group_size);
    Moments m = moments(group);
    double scale = 1;
    if (kind == "group") scale = 1 / (std::max(m.std, std_floor) + epsilon);
    if (kind == "batch") scale = 1 / (std::max(batch_std, std_floor) + epsilon);
    if (kind == "rloo")
      scale = static_cast<double>(group_size) / static_cast<double>(group_size - 1);
    for (int64_t i = 0; i < group_size; ++i)
      advantages[g * group_size + i] = (group[i] - m.mean) * scale;
  }
  return advantages;
}

std::vector<double> component_advantages(std::span<const ComponentRewards> components,
                                         int64_t group_size, double std_floor, double epsilon) {
  CHECK(!components.empty(), kUsage,
        "advantage gdpo: expected a reward of several components, found none");
  std::vector<double> sums(components.front().values.size());
  for (const ComponentRewards& component : components) {
    const auto z = group_advantages(component.values, group_size, "group", std_floor, epsilon);
    CHECK(z.size() == sums.size() && component.weights.size() == sums.size(), kFailure,
          "advantage gdpo: components of {} and {} rewards with {} weights", sums.size(), z.size(),
          component.weights.size());
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += component.weights[i] * z[i];
  }
  if (sums.empty()) return sums;
  const Moments all = moments(sums);
  for (double& sum : sums) sum = (sum - all.mean) / (all.std + epsilon);
  return sums;
}

PassAtKBonus pass_at_k_bonus(int64_t n, int64_t hits, int64_t k) {
  CHECK(k > 0 && k <= n && hits >= 0 && hits <= n, kInput,
        "pass@k bonus: group {}, hits {}, k {} do not fit", n, hits, k);
  // C(a, b) / C(n, b) as a product, so that nothing overflows.
  auto share = [](int64_t a, int64_t n, int64_t b) {
    double value = 1;
    for (int64_t i = 0; i < b; ++i) value *= std::max<double>(0, a - i) / (n - i);
    return value;
  };
  double rho = 1 - share(n - hits, n, k);
  double sigma = std::sqrt(rho * (1 - rho));
  if (sigma <= 0) return {};
  return {(1 - rho) / sigma, (1 - rho - share(n - hits - 1, n - 1, k - 1)) / sigma};
}

std::vector<double> group_stds(std::span<const double> rewards, int64_t group_size) {
  const int64_t groups = check_groups(rewards, group_size);
  std::vector<double> stds;
  for (int64_t g = 0; g < groups; ++g)
    stds.push_back(moments(rewards.subspan(g * group_size, group_size)).std);
  return stds;
}

double zero_variance_share(std::span<const double> rewards, int64_t group_size, double threshold) {
  const std::vector<double> stds = group_stds(rewards, group_size);
  const auto zero =
      std::count_if(stds.begin(), stds.end(), [&](double s) { return s <= threshold; });
  return stds.empty() ? 0 : static_cast<double>(zero) / static_cast<double>(stds.size());
}

double mean_group_std(std::span<const double> rewards, int64_t group_size) {
  const std::vector<double> stds = group_stds(rewards, group_size);
  const double sum = std::accumulate(stds.begin(), stds.end(), 0.0);
  return stds.empty() ? 0 : sum / static_cast<double>(stds.size());
}

at::Tensor row_weights(const at::Tensor& counts, const PolicyLossOptions& options,
                       const std::optional<LossScale>& scale) {
  const at::Tensor lengths = counts.to(at::kFloat);
  const double here = lengths.sum().item<double>();
  const double rows =
      scale ? scale->rows : static_cast<double>(std::max<int64_t>(counts.numel(), 1));
  const double tokens = std::max(1.0, scale && options.loss_type != "bnpo" ? scale->tokens : here);
  if (options.loss_type == "grpo") return lengths.clamp_min(1).reciprocal() / rows;
  if (options.loss_type == "dapo" || options.loss_type == "bnpo" || options.loss_type == "cispo")
    return at::ones_like(lengths) / tokens;
  if (options.loss_type == "sum") return at::ones_like(lengths) / rows;
  CHECK(options.loss_type == "dr_grpo", kUsage,
        "unknown loss type \"{}\"; known: grpo, dapo, bnpo, dr_grpo, sum, cispo",
        options.loss_type);
  CHECK(options.max_completion_length > 0, kUsage,
        "loss type dr_grpo: expected a positive max_completion_length, found {}",
        options.max_completion_length);
  return at::ones_like(lengths) / (rows * static_cast<double>(options.max_completion_length));
}

PolicyLoss policy_loss(const at::Tensor& logprobs, const at::Tensor& old_logprobs,
                       const at::Tensor& reference_logprobs, const at::Tensor& row_of_token,
                       const at::Tensor& advantages, const PolicyLossOptions& options,
                       const at::Tensor& weights) {
  bool sequence = options.importance_sampling_level == "sequence";
  CHECK(sequence || options.importance_sampling_level == "token", kUsage,
        "unknown importance sampling level \"{}\"; known: token, sequence",
        options.importance_sampling_level);
  CHECK(!sequence || options.loss_type != "cispo", kUsage,
        "loss type cispo: weighs every token by its own ratio, not with the importance sampling "
        "level sequence");
  CHECK(options.kl_estimator == "k3" || options.kl_estimator == "k2", kUsage,
        "unknown KL estimator \"{}\"; known: k2, k3", options.kl_estimator);
  CHECK(options.beta == 0 || reference_logprobs.defined(), kInput,
        "policy loss: beta {} needs reference log-probabilities", options.beta);

  int64_t rows = advantages.numel();
  at::Tensor counts = at::bincount(row_of_token, {}, rows);  // [R]
  at::Tensor old = old_logprobs.defined() ? old_logprobs : logprobs.detach();
  at::Tensor log_ratio = logprobs - old;  // [T]
  if (sequence) {
    at::Tensor sums = at::zeros({rows}, log_ratio.options()).index_add(0, row_of_token, log_ratio);
    log_ratio = (sums / counts.clamp_min(1)).index_select(0, row_of_token);
  }
  at::Tensor ratio = log_ratio.exp();
  at::Tensor advantage = advantages.to(ratio.scalar_type()).index_select(0, row_of_token);
  at::Tensor clipped = ratio.clamp(1 - options.epsilon, 1 + options.epsilon_high);
  at::Tensor loss = options.loss_type == "cispo"
                        ? -clipped.detach() * advantage * logprobs
                        : -at::minimum(ratio * advantage, clipped * advantage);  // [T]

  PolicyLoss result;
  if (reference_logprobs.defined()) {
    at::Tensor d = (reference_logprobs - logprobs).clamp(-20, 20);
    at::Tensor k3 = kl_k3(d);
    result.kl = mean_of(k3.detach());
    if (options.beta != 0)
      loss = loss + options.beta * (options.kl_estimator == "k3" ? k3 : d * d / 2);
  }
  at::Tensor weight = (weights.defined() ? weights : row_weights(counts, options))
                          .to(loss.scalar_type())
                          .index_select(0, row_of_token);
  result.loss = (loss * weight).sum();

  at::NoGradGuard no_grad;
  // At sequence level every row counts once, whatever its length.
  at::Tensor share =
      sequence ? counts.to(at::kDouble).clamp_min(1).reciprocal().index_select(0, row_of_token) /
                     std::max<int64_t>(rows, 1)
               : at::full({row_of_token.numel()}, 1.0 / std::max<int64_t>(row_of_token.numel(), 1),
                          at::kDouble);
  auto weighted = [&](const at::Tensor& x) {
    return (x.to(at::kDouble) * share).sum().item<double>();
  };
  result.clip_low = weighted((ratio < 1 - options.epsilon).logical_and(advantage < 0));
  result.clip_high = weighted((ratio > 1 + options.epsilon_high).logical_and(advantage > 0));
  result.clip_ratio = result.clip_low + result.clip_high;
  result.mean_ratio = 1 + weighted(ratio - 1);  // exactly 1 where every ratio is
  return result;
}

}  // namespace etrlrec
