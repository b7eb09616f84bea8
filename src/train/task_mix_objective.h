// Several tasks on the same parameters as one objective: L = Σ w_i L_i, with weights of every
// micro-batch (train/task_weights.h). Row r of the mix is row r of every task.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "train/task_weights.h"
#include "train/trainer.h"

namespace etrlrec {

struct MixedTask {
  std::string name;  // in metrics
  std::unique_ptr<Objective> objective;
};

struct TaskMixOptions {
  TaskWeighting weighting = TaskWeighting::kEqual;
  double gain_step = 1;  // η of TaskWeighting::kGain
};

// Metrics: those of each task with "/NAME" after them, "loss/NAME" and "weight/NAME", of kGain
// "gain/NAME".
class TaskMixObjective : public Objective {
 public:
  // `main`: the loss that kGain looks at, on as many rows as a micro-batch has, drawn from those
  // that are not in it; else null. Errors (kInput): no task, tasks of different numbers of rows,
  // kGain without a main task or with one of fewer than two rows; kUsage for a gain_step that is
  // not positive and finite.
  TaskMixObjective(std::vector<MixedTask> tasks, std::unique_ptr<Objective> main,
                   const TaskMixOptions& options);
  int64_t num_rows() const override { return tasks_.front().objective->num_rows(); }
  ParameterMap& parameters() override { return tasks_.front().objective->parameters(); }
  Numerics numerics() const override { return tasks_.front().objective->numerics(); }
  // The gradients of the tasks are known when this returns: its loss has the value of the mix, and
  // as its graph the inner product of the trained tensors and the mixed gradient.
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;
  LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                           const Backward& backward) override;

 private:
  std::vector<double> weights_of(const std::vector<std::vector<at::Tensor>>& gradients,
                                 const std::vector<at::Tensor>& trained,
                                 std::span<const int64_t> rows, int64_t step, Rng& rng,
                                 LossOutput& output) const;
  // L_m(θ) - L_m(θ - η g_i) of each task. [tasks]
  std::vector<double> gains(const std::vector<std::vector<at::Tensor>>& gradients,
                            const std::vector<at::Tensor>& trained, std::span<const int64_t> rows,
                            int64_t step, Rng& rng) const;

  std::vector<MixedTask> tasks_;
  std::unique_ptr<Objective> main_;
  TaskMixOptions options_;
};

}  // namespace etrlrec
