// The only optimisation loop: shuffled rows, accumulation, warm-up and schedule, clipping, the
// optimiser, the ranks of AdaLoRA, validation by a callback, metrics, checkpoints that resume bit
// for bit. What is optimised is an Objective; SFT, GRPO and SASRec are objectives, and nothing here
// knows about text, items or rewards.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "nn/numerics.h"
#include "nn/parameters.h"
#include "train/checkpoint.h"
#include "tuning/adalora.h"

namespace etrlrec {

struct TrainerOptions {
  double learning_rate = 1e-3;
  std::string lr_scheduler_type =
      "cosine";  // cosine | linear | constant, after linear warm-up, as in Transformers
  double warmup_ratio = 0.03;
  std::string optim = "adamw";  // adamw | adam | lion | sgd | adagrad (tuning/optim.h)
  double weight_decay = 0.01;   // on tensors of two or more dimensions
  double adam_beta1 = 0.9, adam_beta2 = 0.98, adam_epsilon = 1e-8;  // lion takes the betas, too
  double max_grad_norm = 1.0;                                       // 0: no clipping
  int64_t train_batch_size = 32;                                    // rows of one micro-batch
  int64_t gradient_accumulation_steps = 1;
  int64_t max_steps = -1;  // optimiser steps; -1: num_train_epochs decides
  double num_train_epochs = 1;
  int64_t logging_steps = 10;
  int64_t eval_steps = 0;  // 0: only at the end
  // A checkpoint is written every save_steps steps (0: no such rule), after the first step that
  // ends more than save_seconds after the last one (0: no such rule), and at the end. Checkpoints
  // change no result: they only decide how much a killed process loses.
  int64_t save_steps = 0;
  double save_seconds = 120;
  int64_t save_total_limit = 2;
  // > 0: validation, the best checkpoint and the result use the weights' moving average with this
  // decay per step (train/weight_average.h), e.g. 0.99; not with AdaLoRA. 0: off.
  double ema_decay = 0;
  bool stop_on_collapse = false;  // go back to a good checkpoint where the objective finds one
  int64_t early_stopping_patience = 0;            // evaluations without a better metric; 0: off
  std::string metric_for_best_model = "ndcg@10";  // higher is better
  uint64_t seed = 42;
  std::string label = "train";  // of the progress bar
};

struct LossOutput {
  at::Tensor loss;     // scalar; already divided by the objective's own normaliser
  int64_t tokens = 0;  // processed, for the rate
  std::map<std::string, double> metrics;  // averaged over the micro-batches of a step, then logged
};

// What training gives to an objective for parts of its loss (Objective::loss_in_parts).
using Backward = std::function<void(const at::Tensor& part)>;
// Adds a part to output.loss. Every part but the last goes through `backward` first and counts by
// its value only, so that its graph is gone before the next one.
void add_part(at::Tensor part, bool is_last, const Backward& backward, LossOutput& output);

// Rows of a micro-batch and the stream of randomness that loss() will get for them.
struct MicroBatch {
  std::span<const int64_t> rows;
  Rng rng;
};

class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t num_rows() const = 0;
  virtual ParameterMap& parameters() = 0;  // those with requires_grad are trained
  // How the model computes, and with it the optimiser.
  virtual Numerics numerics() const { return {}; }
  // Called before the first step of every epoch, and again when training continues in the middle of
  // one; what it prepares may depend on `epoch` (and fixed seeds) only.
  virtual void begin_epoch(int64_t epoch) { static_cast<void>(epoch); }
  // Called before the micro-batches of an optimiser step, in the order in which loss() gets them.
  virtual void begin_step(std::span<const MicroBatch> micro_batches, int64_t step) {
    static_cast<void>(micro_batches), static_cast<void>(step);
  }
  // What the logs so far show; called after each, and a finding is told once.
  virtual std::vector<Finding> review(std::span<const LogEntry> logs) const {
    static_cast<void>(logs);
    return {};
  }
  // Loss of one micro-batch; `step` counts optimiser steps from 0. All randomness comes from `rng`,
  // a stream of (seed, step, micro-batch), so that nothing else needs to be stored for an exact
  // resume.
  virtual LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) = 0;
  // The same for training, where the graph of the whole may be too large: an objective may give
  // `backward` parts of the loss as it goes, so that their graphs are gone before the next part;
  // the returned loss has the value of the whole and the graph of the rest.
  virtual LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                                   const Backward& backward) {
    static_cast<void>(backward);
    return loss(rows, step, rng);
  }
};

// Validation by the *test* protocol; returned values are logged under "eval/…" and hold
// metric_for_best_model.
using EvaluateFn = std::function<std::map<std::string, double>(int64_t step)>;

// Optimiser steps of one pass over `num_rows` rows; the last step of an epoch may have fewer rows.
int64_t steps_per_epoch(int64_t num_rows, const TrainerOptions& options);
// Optimiser steps of a whole training: max_steps, or those of the epochs.
int64_t planned_steps(int64_t num_rows, const TrainerOptions& options);

struct TrainingResult {
  int64_t steps = 0;
  int64_t best_step = 0;
  std::optional<double> best_metric;  // none without validation
  int64_t tokens = 0;
  double seconds = 0;
  std::vector<std::string> findings;  // of the objective, in the order of their steps
};

// Trains `objective` in `folder`: checkpoint-<step>/{model,optimizer}.safetensors +
// trainer_state.json, metrics.jsonl, tb/. model.safetensors holds the trained tensors only.
// Evaluations, the best step's checkpoint included, count as one unit: a better metric is always on
// disk. SIGINT and SIGTERM finish the step, save a checkpoint and throw Error (kResumable); a
// second signal kills. An existing folder is continued from its last complete checkpoint (same
// options and arithmetic, else kUsage), and ends with the same bits as an uninterrupted run. On
// return the parameters hold the best checkpoint by the metric (the last one without a callback).
// With ema_decay every evaluation sees the average of the weights, which is part of every
// checkpoint ("average.safetensors") and is what the parameters hold on return. Non-finite loss,
// gradients or validation metric stop the run (kNumbers) after writing the metrics and, with the
// rows of the batch, nonfinite.json. A folder in which another process trains is refused (kUsage).
// What the objective finds in its logs is told, and kept in the checkpoints. With stop_on_collapse
// a collapse ends the training: the result is the best checkpoint, or without validation the newest
// one from before, which is never removed; error (kNumbers) where there is none.
// With `ranks`, of AdaLoRA adapters among the objective's parameters, its orthogonality term is
// added to every step's loss, it sees every step, and its state is part of every checkpoint
// ("adalora.safetensors"); on return pruned entries are 0.
TrainingResult train(Objective& objective, const TrainerOptions& options,
                     const std::filesystem::path& folder, const EvaluateFn& evaluate = {},
                     RankAllocator* ranks = nullptr);

}  // namespace etrlrec
