// What the training of recommenders minimises: for each position a loss of the score s+ of the next
// item and, but for the full cross-entropy, of the scores s_j of k negatives, averaged over the
// positions. Only the full cross-entropy looks at all items; the others hold [T, k] scores. Until
// its gradients are done bpr-max holds about ten such matrices, 40 T k bytes: 1 GB for 2,048
// negatives and 256 windows of 50 positions.
//   ce        -s+ + log sum over all items of exp(s)
//   sampled   -s+ + log(exp(s+) + sum_j exp(s_j) / π_j), distinct negatives, those that are the
//             target left out: importance sampling of ce (Bengio and Senecal 2008; the target is
//             not corrected). π is the chance that an item is among the negatives, so that the sum
//             is expected to be that over all items: k / N of k distinct ones drawn uniformly, and
//             1 - (1 - q)^k of k draws with chances q whose repetitions are removed
//   bce       -log σ(s+) - sum_j log(1 - σ(s_j))   (Kang and McAuley 2018 with k = 1)
//   gbce      -β log σ(s+) - sum_j log(1 - σ(s_j)), β = α (t (1 - 1/α) + 1/α), α = k / (N - 1)
//             (gSASRec, Petrov and Macdonald 2023); t = 0 is bce, t = 1 calibrates fully
//   bpr       mean_j -log σ(s+ - s_j)   (Rendle et al. 2009)
//   bpr-max   -log sum_j p_j σ(s+ - s_j) + λ sum_j p_j s_j², p = softmax of the negatives' scores
//   top1-max  sum_j p_j (σ(s_j - s+) + σ(s_j²))   (both Hidasi and Karatzoglou 2018; the other
//             targets of the batch are no negatives here, all are drawn; those that are the target
//             are left out, and a position whose negatives all are has the loss 0)
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "models/negative_sampler.h"
#include "nn/numerics.h"

namespace etrlrec {

enum class NegativesOf {
  kNone,
  kPosition,  // each position draws its own, none of which is its target
  kStep,      // all positions of a step share them
};

struct LossType {
  const char* name;     // of --loss
  const char* summary;  // negatives included
  const char* paper;
  NegativesOf negatives;
  int64_t num_negatives = 0;     // where the options do not say
  bool leaves_out_seen = false;  // negatives are items that the user has not chosen
};
std::span<const LossType> loss_types();
std::vector<std::string> loss_names();
// Error (kUsage) for a name that is not in the table; it lists the names.
const LossType& loss_type(const std::string& name);

struct LossOptions {
  std::string name = {};      // "": that of the recommender
  int64_t num_negatives = 0;  // k of a position or step, 0: that of the loss
  double negative_alpha = 0;  // negatives are drawn as (1 + interactions)^alpha, 0: uniformly
  double gbce_t = 0.75;       // calibration of gbce, in [0, 1]
  double bpreg = 1;           // λ of bpr-max
};
// The options with name and number of negatives filled in. Errors (kUsage): an unknown loss, an
// option of another loss, values out of range, more negatives than other items where each position
// has its own and of sampled, more than a million of bpr-max and top1-max.
LossOptions complete_loss(const LossOptions& given, const std::string& own, int64_t num_items);

struct Negatives {
  // int64 [T, k] of positions, [k] of the step, fewer where repetitions are removed; undefined:
  // none
  at::Tensor items;
  at::Tensor log_expected;  // of sampled, float like items: log π
};
// Draws for targets [T]; `loss` is complete (kUsage), and the sampler has the weights of its
// negative_alpha. `seen` is empty or has for each position the items that may not be drawn besides
// the target, ascending; only losses that leave out what was seen look at it. Error (kInput) where
// that leaves nothing to draw.
Negatives draw_negatives(const LossOptions& loss, const NegativeSampler& sampler,
                         std::span<const int64_t> targets,
                         std::span<const std::span<const int32_t>> seen, Rng& rng);

// The mean loss of T positions; hidden [T, C], item_weight [N, C], item_bias [N] or undefined,
// targets int64 [T]; `loss` is complete. Differentiable in hidden, weight and bias.
at::Tensor recommender_loss(const LossOptions& loss, const at::Tensor& hidden,
                            const at::Tensor& item_weight, const at::Tensor& item_bias,
                            const at::Tensor& targets, const Negatives& negatives,
                            const Numerics& numerics = {});

}  // namespace etrlrec
