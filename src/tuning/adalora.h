// AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): the rank of every adapter is found while training.
// A triplet is one entry of E with its row of A and its column of B. The importance of a parameter
// w with gradient g is I = |w g|, smoothed to Ī <- beta1 Ī + (1 - beta1) I, with the uncertainty Ū
// <- beta2 Ū + (1 - beta2) |I - Ī|; a triplet scores Ī Ū of its entry of E plus the means of Ī Ū
// over its row of A and its column of B. The triplets with the lowest scores over all modules lose
// their entry of E; they may grow again until the next pruning. The budget falls from init_r to
// target_r per module by a cubic. Arithmetic and order of a step as in PEFT.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "tuning/adapters.h"

namespace etrlrec {

// Mean of ‖A Aᵀ - I‖_F and ‖Bᵀ B - I‖_F over all AdaLoRA tensors of a model, a differentiable
// scalar: the loss of a step is the task's plus orth_reg_weight times this.
at::Tensor orthogonality(const ParameterMap& parameters);

class RankAllocator {
 public:
  // Of the AdaLoRA tensors in `parameters`, which it shares. Errors (kUsage): no such tensors,
  // pruned ones, or a schedule without room: it needs tinit < total_step - tfinal.
  RankAllocator(const ParameterMap& parameters, const LoraConfig& config);

  // Triplets that are kept at a step, counted from 0: all up to tinit, target_r per module in the
  // last tfinal steps.
  int64_t budget(int64_t step) const;
  // Call after the optimiser's step and before the gradients are dropped: importances are updated
  // (a missing gradient counts as 0) and, at the steps of the schedule, triplets are pruned.
  void update_and_allocate(int64_t step);
  // Sets the pruned entries of E, which may have grown since, to 0 again: before saving or merging.
  void prune();

  double orth_reg_weight() const { return config_.orth_reg_weight; }
  std::map<std::string, at::Tensor> scores() const;  // of the triplets of each module, [init_r]
  // Empty before the first pruning.
  const RankPattern& rank_pattern() const { return pattern_; }
  // Every setting, as text, to be compared when a run is continued.
  std::string description() const;
  // "exp_avg_ipt.<tensor>", "exp_avg_unc.<tensor>" (fp32), "kept.<module>" (uint8, [init_r]) and
  // "is_pruned" (uint8, [1]).
  ParameterMap state() const;
  void load_state(const ParameterMap& state, const std::string& source);  // error: kInput

 private:
  void update_importance();
  void allocate(int64_t budget);

  AdaLoraConfig config_;
  int64_t init_r_ = 0;
  std::vector<std::string> modules_;
  ParameterMap tensors_;  // of all adapters
  ParameterMap exp_avg_ipt_, exp_avg_unc_;
  RankPattern pattern_;
};

}  // namespace etrlrec
