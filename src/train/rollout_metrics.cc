#include "train/rollout_metrics.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "train/reward.h"

namespace etrlrec {
namespace {

double mean_value(std::span<const double> values) {
  double sum = 0;
  for (double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double unique_ratio(const RolloutBatch& batch, int64_t group) {
  int64_t distinct = 0;
  for (size_t begin = 0; begin < batch.completions.size(); begin += group) {
    std::set<std::vector<int64_t>> seen;
    for (int64_t i = 0; i < group; ++i) seen.insert(batch.completions[begin + i].ids);
    distinct += static_cast<int64_t>(seen.size());
  }
  return static_cast<double>(distinct) / static_cast<double>(batch.completions.size());
}

}  // namespace

void add_reward_metrics(const RolloutBatch& batch, int64_t group,
                        std::map<std::string, double>& metrics) {
  metrics["reward"] = mean_value(batch.rewards);
  metrics["reward_std"] = mean_group_std(batch.rewards, group);
  std::map<std::string, std::vector<double>> parts;
  double valid = 0;
  std::map<std::string, double> reasons;
  for (const ScoredCompletion& s : batch.scored) {
    for (const auto& [name, value] : s.parts) parts[name].push_back(value);
    valid += s.invalid.empty();
    if (!s.invalid.empty()) ++reasons["invalid/" + s.invalid];
  }
  double count = static_cast<double>(batch.scored.size());
  for (const auto& [name, values] : parts) {
    double m = mean_value(values), square = 0;
    for (double v : values) square += (v - m) * (v - m);
    metrics["rewards/" + name + "/mean"] = m;
    metrics["rewards/" + name + "/std"] = std::sqrt(square / static_cast<double>(values.size()));
  }
  for (const auto& [name, number] : reasons) metrics[name] = number / count;
  metrics["valid_ratio"] = valid / count;
  metrics["unique_ratio"] = unique_ratio(batch, group);
}

void add_completion_metrics(const RolloutBatch& batch, std::map<std::string, double>& metrics) {
  double total = 0, shortest = 1e18, longest = 0, clipped = 0, repeated = 0;
  for (const Completion& c : batch.completions) {
    double length = static_cast<double>(c.ids.size());
    total += length;
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
    clipped += c.forced_close;
    const auto reasoning = static_cast<size_t>(c.reasoning_tokens);
    repeated += repeated_share(std::span(c.ids).first(reasoning > 0 ? reasoning : c.ids.size()));
  }
  double count = static_cast<double>(batch.completions.size());
  metrics["completions/mean_length"] = total / count;
  metrics["completions/min_length"] = shortest;
  metrics["completions/max_length"] = longest;
  metrics["completions/clipped_ratio"] = clipped / count;
  metrics["completions/repeated_share"] = repeated / count;
}

void add_policy_metrics(const PolicyLoss& loss, const PolicyOutput& policy, bool has_reference,
                        std::map<std::string, double>& metrics) {
  metrics["clip_ratio/region_mean"] = loss.clip_ratio;
  metrics["clip_ratio/low_mean"] = loss.clip_low;
  metrics["clip_ratio/high_mean"] = loss.clip_high;
  metrics["importance_ratio"] = loss.mean_ratio;
  if (policy.entropy.numel() > 0)
    metrics["entropy"] = policy.entropy.to(at::kDouble).mean().item<double>();
  if (has_reference) metrics["kl"] = loss.kl;
}

double logprob_gap(const RolloutBatch& batch, const PolicyForest& forest,
                   const at::Tensor& logprobs) {
  at::Tensor values = logprobs.detach().to(at::kFloat).contiguous();
  const float* found = values.data_ptr<float>();
  double gap = 0;
  int64_t offset = 0;
  for (size_t t = 0; t < forest.rows.size(); ++t) {
    offset = t > 0 && forest.rows[t] == forest.rows[t - 1] ? offset + 1 : 0;
    gap = std::max<double>(gap,
                           std::abs(found[t] - batch.completions[forest.rows[t]].logprobs[offset]));
  }
  return gap;
}

}  // namespace etrlrec
