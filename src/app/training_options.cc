#include "app/training_options.h"

#include <fmt/format.h>

#include "app/command_line.h"
#include "base/json.h"
#include "base/log.h"

namespace etrlrec {

void add_training_options(Command& command, TrainerOptions& options) {
  const std::string group = "Training";
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(group);
  };
  add("--learning-rate,--lr", options.learning_rate, "peak learning rate of AdamW");
  add("--lr-scheduler-type", options.lr_scheduler_type, "after the warm-up")
      .one_of({"cosine", "linear", "constant"});
  add("--warmup-ratio", options.warmup_ratio, "share of the steps with a rising rate");
  add("--weight-decay", options.weight_decay, "on matrices");
  add("--max-grad-norm", options.max_grad_norm, "gradient clipping, 0: off");
  add("--per-device-train-batch-size,--batch-size", options.train_batch_size,
      "rows of one micro-batch (reinforce: prompts)");
  add("--gradient-accumulation-steps", options.gradient_accumulation_steps,
      "micro-batches of one step");
  add("--num-train-epochs", options.num_train_epochs, "passes over the rows");
  add("--max-steps", options.max_steps, "optimiser steps, -1: the epochs decide");
  add("--logging-steps", options.logging_steps, "steps between two lines of metrics.jsonl");
  add("--eval-steps", options.eval_steps, "steps between two validations, 0: only at the end");
  add("--save-steps", options.save_steps, "steps between two checkpoints, 0: only at the end");
  add("--save-total-limit", options.save_total_limit, "checkpoints kept");
  add("--early-stopping-patience", options.early_stopping_patience,
      "validations without a better metric, 0: off");
}

void add_lora_options(Command& command, LoraConfig& options) {
  const std::string group = "Adapter";
  command.add_option("--lora-r,--lora-rank", options.r, "rank of the adapter, 0: all weights")
      .group(group);
  command.add_option("--lora-alpha", options.lora_alpha, "scale of the adapter").group(group);
  command
      .add_option("--target-modules", options.target_modules,
                  "e.g. q_proj,v_proj; default all linear layers")
      .separated_by(',')
      .group(group);
}

void add_dry_run(Command& command, bool& dry_run) {
  command.add_flag("--dry-run", dry_run, "only print what memory and work it would take");
}

void report_estimate(const MemoryEstimate& estimate, const std::string& command,
                     const CommonOptions& common) {
  const int64_t available = available_memory();
  print_estimate(estimate, available, common.json);
  check_memory(estimate, available, command, kTrainingMemoryHint);
}

void report_training(const TrainingResult& result, const TrainerOptions& options,
                     const std::string& out, const CommonOptions& common) {
  if (common.json) {
    const OrderedJson report = {{"schema_version", 1},
                                {"steps", result.steps},
                                {"best_step", result.best_step},
                                {options.metric_for_best_model, result.best_metric},
                                {"tokens", result.tokens},
                                {"seconds", result.seconds},
                                {"out", out}};
    fmt::print("{}\n", report.dump(2));
    return;
  }
  fmt::print("{} steps, {} tokens, {}; best validation {} {:.4f} at step {}\n", result.steps,
             format_count(static_cast<double>(result.tokens)), format_duration(result.seconds),
             options.metric_for_best_model, result.best_metric, result.best_step);
  fmt::print("next: etrlrec evaluate --data DATA --model {}\n", out);
}

}  // namespace etrlrec
