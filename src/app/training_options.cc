#include "app/training_options.h"

#include <fmt/format.h>

#include "app/command_line.h"
#include "base/json.h"
#include "method/stage.h"

namespace etrlrec {
namespace {

constexpr const char* kTrainingGroup = "Training";

}  // namespace

void add_schedule_options(Command& command, TrainerOptions& options) {
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(kTrainingGroup);
  };
  add("--learning-rate,--lr", options.learning_rate, "peak learning rate");
  add("--lr-scheduler-type", options.lr_scheduler_type, "after the warm-up")
      .one_of({"cosine", "linear", "constant"});
  add("--warmup-ratio", options.warmup_ratio, "share of the steps with a rising rate");
  add("--weight-decay", options.weight_decay, "on matrices");
  add("--num-train-epochs", options.num_train_epochs, "passes over the rows");
  add("--ema-decay", options.ema_decay,
      "validate and keep a moving average of the weights with this decay per step, e.g. 0.99; 0: "
      "off");
  add("--save-seconds", options.save_seconds,
      "seconds between two checkpoints, so that a kill costs no more; 0: never by time");
}

void add_training_options(Command& command, TrainerOptions& options) {
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(kTrainingGroup);
  };
  add_schedule_options(command, options);
  add("--optim", options.optim, "optimiser; lion wants a rate three to ten times lower")
      .one_of({"adamw", "adam", "lion", "sgd"});
  add("--max-grad-norm", options.max_grad_norm, "gradient clipping, 0: off");
  add("--per-device-train-batch-size,--batch-size", options.train_batch_size,
      "rows of one micro-batch (reinforce: prompts)");
  add("--gradient-accumulation-steps", options.gradient_accumulation_steps,
      "micro-batches of one step");
  add("--max-steps", options.max_steps, "optimiser steps, -1: the epochs decide");
  add("--logging-steps", options.logging_steps, "steps between two lines of metrics.jsonl");
  add("--eval-steps", options.eval_steps, "steps between two validations, 0: only at the end");
  add("--save-steps", options.save_steps,
      "steps between two checkpoints, 0: only by --save-seconds");
  add("--save-total-limit", options.save_total_limit, "checkpoints kept");
  add("--early-stopping-patience", options.early_stopping_patience,
      "validations without a better metric, 0: off");
}

void add_adapter_options(Command& command, AdapterOptions& options) {
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group("Adapter");
  };
  LoraConfig& lora = options.lora;
  AdaLoraConfig& adalora = options.adalora;
  add("--adapter", options.adapter,
      "kind; adalora finds the rank of every layer, prompt trains virtual tokens alone")
      .one_of({"lora", "adalora", "prompt"});
  add("--lora-r,--lora-rank,--init-r", lora.r,
      "rank of the adapter, 0: all weights (adalora: rank at the start, 0: 12)");
  add("--lora-alpha", lora.lora_alpha, "scale of the adapter");
  add("--lora-dropout", lora.lora_dropout, "of the adapter's input").range(0.0, 0.99);
  add("--target-modules", lora.target_modules, "e.g. q_proj,v_proj; default all linear layers")
      .separated_by(',');
  command.add_flag("--use-rslora", lora.use_rslora, "scale alpha / sqrt(rank)").group("Adapter");
  add("--target-r", adalora.target_r, "adalora: mean rank at the end");
  add("--tinit", adalora.tinit, "adalora: steps before the first pruning");
  add("--tfinal", adalora.tfinal, "adalora: last steps, with the final ranks");
  add("--delta-t,--deltaT", adalora.deltaT, "adalora: steps between two prunings");
  add("--beta1", adalora.beta1, "adalora: smoothing of importances");
  add("--beta2", adalora.beta2, "adalora: smoothing of their uncertainty");
  add("--orth-reg-weight", adalora.orth_reg_weight, "adalora: weight of the orthogonality term");
  add("--total-step", adalora.total_step,
      "adalora: steps of the schedule, 0: those of the training");
  PromptTuningOptions& prompt = options.prompt_tuning;
  add("--num-virtual-tokens", prompt.num_virtual_tokens,
      "prompt: tokens in front of every text, 0: those of the model's own prompt");
  add("--prompt-name", prompt.prompt_name,
      "prompt: which soft prompt is trained; a model may have several");
  add("--prompt-tuning-init", prompt.prompt_tuning_init,
      "prompt: start from random values, random tokens or a text")
      .one_of({"random", "sample_vocab", "text"});
  add("--prompt-tuning-init-text", prompt.prompt_tuning_init_text,
      "prompt: the text, repeated or cut to the number of tokens");
}

void add_adapters(Command& command, std::vector<std::string>& adapters) {
  command
      .add_option("--adapter", adapters,
                  "PEFT folder: LoRA or AdaLoRA, or a soft prompt; repeatable")
      .repeatable()
      .existing_folder();
}

void add_dtype(Command& command, std::string& dtype) {
  command
      .add_option("--dtype", dtype,
                  "weights in memory; bfloat16 and int8 are frozen: to train, add an adapter")
      .one_of({"float32", "bfloat16", "int8"});
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
    fmt::print("{}\n", to_json(result, options, out).dump(2));
  } else {
    fmt::print("{}next: etrlrec evaluate --data DATA --model {}\n",
               format_training(result, options), out);
  }
}

}  // namespace etrlrec
