// The reward module (method.md G.3, G.4): named terms, format gate, curriculum by optimiser step,
// and their combination in faithful and verified mode. Pure functions on numbers; text is judged in
// temporal/. A value that is not finite is an error (kNumbers), never a zero.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace etrlrec {

enum class RewardMode : int8_t { kFaithful, kVerified };
enum class CrmReward : int8_t { kFaithful, kCalibrated, kPercentile };  // G.3 (3)
RewardMode reward_mode_from_name(const std::string& name);              // faithful | verified
CrmReward crm_reward_from_name(const std::string& name);  // faithful | calibrated | percentile

struct RewardWeights {
  double alpha = 0, beta = 0, gamma = 0;
};  // reasoning, recommender, label
// C0: (0.4, 0.4, 0.2) for steps below switch_step, then (0.2, 0.2, 0.6). C1: constant late weights.
// C2: reversed, label 0.3 -> 0.25 -> 0.2 at switch_step and 5/3 of it (1500 and 2500 in the
// authors' earlier commit). C3: cosine between the two of C0 over the first 20 % of total_steps.
// C4: gamma follows the hit rate of the rollouts.
struct Curriculum {
  std::string name = "C0";
  int64_t switch_step = 50;
  int64_t total_steps = 0;  // for C3
};
RewardWeights curriculum_weights(const Curriculum& curriculum, int64_t step,
                                 double running_hit_rate);

struct RewardInput {
  int32_t answer = 0;  // 1-based; 0: no integer
  int32_t num_candidates = 0;
  bool has_reasoning = false, format_ok = false;
  int32_t target = 0;                 // 1-based
  double reasoning = 0;               // r_ver in [0, 1]
  bool is_judged = false;             // a judge was asked about the reasoning
  std::optional<double> judge{};      // its score in [0, 1]; nothing: it did not say
  std::span<const float> crm_scores;  // [n] recommender scores of the candidates; empty: no term
  double semantic = 0, rank = 0;      // r_sem, r_rank of G.3 (4), (2)
  bool has_rank = false;
  double usefulness = 0;  // r_use of G.3 (7), in [-1, 1]
  int64_t completion_tokens = 0;
  double repetition = 0;  // share of repeated 4-grams
};
struct RewardOptions {
  RewardMode mode = RewardMode::kVerified;
  CrmReward crm = CrmReward::kCalibrated;
  double crm_temperature = 0.3;
  double judge_share = 0.3;     // verified mode: of a judge's score in r_reason, 1 - omega
  double eta = 0.3;             // partial credit of misses
  double usefulness_share = 0;  // verified mode: W, of the reasoning's usefulness in r_out
  std::string gate = "on";      // on | off | reasoning-only
  int64_t max_length = 512, length_buffer = 128;
};
// Mode and recommender's term by their names; without a `crm` the term is the mode's own: faithful,
// or calibrated in verified mode. Error (kUsage) for an unknown name.
void set_reward_mode(RewardOptions& options, const std::string& mode, const std::string& crm);
struct RewardParts {
  double label = 0, crm = 0, reasoning = 0, length_penalty = 0, repetition_penalty = 0, total = 0;
  double outcome = 0;                         // what gamma multiplies
  double gated_crm = 0, gated_reasoning = 0;  // what beta and alpha multiply
  double penalties() const { return length_penalty + repetition_penalty; }
};
// Error (kUsage): eta outside of [0, 1); a share of usefulness outside of [0, 1), in faithful mode,
// or so large that no gate keeps right answers above wrong ones, W >= (1 - eta) / (2 - eta).
void check_reward_options(const RewardOptions& options);
// Verified mode: g (gamma r_out + kappa (beta r_CRM + alpha r_reason)) + (1 - g) R_inv - penalties.
// r_out = (1 - W) (r_label + (1 - r_label) eta (r_sem + r_rank) / 2) + W (1 + r_use) / 2: the
// usefulness says nothing on which answer is right, so it is worth the same below every answer.
// With gate "on" every right, valid answer beats every wrong one of equal length. An invalid
// completion (g = 0) earns nothing: R_inv holds only the negative constants of G.3 (0). Faithful
// mode: alpha r_reason + beta r_CRM + gamma r_label, no penalties.
RewardParts compute_reward(const RewardInput& input, const RewardWeights& weights,
                           const RewardOptions& options);
// r_reason of a valid completion (G.3 (6)). Faithful mode: the judge's score alone. Verified mode:
// omega r_ver + (1 - omega) min(judge, r_ver + 0.3), so that no judge lifts a reasoning far above
// what its claims carry; without the judge's score r_ver.
double reasoning_reward(const RewardInput& input, const RewardOptions& options);
// Where a judge is all that rewards reasonings and said nothing, the reasoning's weight goes to the
// other terms in their proportions; where they have none, it is lost.
RewardWeights without_reasoning(const RewardWeights& weights);
// kappa of a wrong answer: min(1, 0.9 gamma m / (alpha + beta)), where m = (1 - W) (1 - eta) - W is
// how far r_out of every right answer, at least 1 - W, is above that of every wrong one.
double dominance_gate(const RewardWeights& weights, double eta, double usefulness_share = 0);

double crm_reward(std::span<const float> scores, int32_t answer, CrmReward kind,
                  double temperature);
// Temperature with the least mean -log softmax(scores / T)[target] over rows: scores [rows, n],
// targets 0-based [rows].
double calibrate_temperature(std::span<const float> scores, int64_t num_candidates,
                             std::span<const int32_t> targets);
// Closeness of a miss: clip((s_k - mean s) / (s_target - mean s), 0, 1) over similarities to the
// target, 1-based k.
double semantic_reward(std::span<const float> similarities, int32_t answer, int32_t target);
// r_use of G.3 (7): clip(gain / log n, -1, 1), where the gain is log p_0(target | reasoning) -
// log p_0(target | no reasoning) in nats, among n candidates; 0 where n is 1.
double usefulness_reward(double gain, int64_t num_candidates);
double rank_reward(double rank);                                              // 1 / log2(1 + rank)
double overlong_penalty(int64_t tokens, int64_t max_length, int64_t buffer);  // 0 .. 1
double repeated_share(std::span<const int64_t> ids);                          // repeated 4-grams
}  // namespace etrlrec
