#include "app/training_options.h"

#include <fmt/format.h>

#include "app/command_line.h"
#include "base/json.h"
#include "method/stage.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

constexpr const char* kTrainingGroup = "Training";

}  // namespace

std::vector<Option> add_schedule_options(Command& command, TrainerOptions& options) {
  std::vector<Option> all;
  const auto add = [&](const char* names, auto& value, const char* text) {
    all.push_back(command.add_option(names, value, text).group(kTrainingGroup));
    return all.back();
  };
  add("--learning-rate,--lr", options.learning_rate, "peak learning rate");
  add("--lr-scheduler-type", options.lr_scheduler_type, "after the warm-up")
      .one_of({"cosine", "linear", "constant"});
  add("--warmup-ratio", options.warmup_ratio, "share of the steps with a rising rate");
  add("--weight-decay", options.weight_decay, "on matrices");
  add("--num-train-epochs", options.num_train_epochs, "passes over the rows")
      .only_with("epochs, not with --max-steps", [&options] { return options.max_steps <= 0; });
  add("--ema-decay", options.ema_decay,
      "validate and keep a moving average of the weights with this decay per step, e.g. 0.99; 0: "
      "off");
  add("--save-seconds", options.save_seconds,
      "seconds between two checkpoints, so that a kill costs no more; 0: never by time");
  return all;
}

void add_training_options(Command& command, TrainerOptions& options, const int64_t& eval_rows) {
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(kTrainingGroup);
  };
  const auto validates = [&eval_rows] { return eval_rows != 0; };
  const std::string validation = "a validation, not with --eval-rows 0";
  add_schedule_options(command, options);
  add("--optim", options.optim, "optimiser; lion wants a rate three to ten times lower")
      .one_of(optimizer_names());
  add("--max-grad-norm", options.max_grad_norm, "gradient clipping, 0: off");
  add("--per-device-train-batch-size,--batch-size", options.train_batch_size,
      "rows of one micro-batch (reinforce: prompts)");
  add("--gradient-accumulation-steps", options.gradient_accumulation_steps,
      "micro-batches of one step");
  add("--max-steps", options.max_steps, "optimiser steps, -1: the epochs decide");
  add("--logging-steps", options.logging_steps, "steps between two lines of metrics.jsonl");
  add("--eval-steps", options.eval_steps, "steps between two validations, 0: only at the end")
      .only_with(validation, validates);
  add("--save-steps", options.save_steps,
      "steps between two checkpoints, 0: only by --save-seconds");
  add("--save-total-limit", options.save_total_limit, "checkpoints kept");
  add("--early-stopping-patience", options.early_stopping_patience,
      "validations without a better metric, 0: off")
      .only_with(validation, validates);
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
      "rank of the adapter, 0: all weights (adalora: rank at the start, 0: 12)")
      .only_with("--adapter lora or adalora", [&options] { return options.adapter != "prompt"; });
  const auto of_pairs = [&](Option option) {
    option.only_with("--adapter lora and --lora-r above 0, or --adapter adalora", [&options] {
      return options.adapter == "adalora" || (options.adapter == "lora" && options.lora.r > 0);
    });
  };
  of_pairs(add("--lora-alpha", lora.lora_alpha, "scale of the adapter"));
  of_pairs(add("--lora-dropout", lora.lora_dropout, "of the adapter's input").range(0.0, 0.99));
  of_pairs(
      add("--target-modules", lora.target_modules, "e.g. q_proj,v_proj; default all linear layers")
          .separated_by(','));
  of_pairs(command.add_flag("--use-rslora", lora.use_rslora, "scale alpha / sqrt(rank)")
               .group("Adapter"));
  const auto of = [&](const std::string& kind, Option option) {
    option.only_with("--adapter " + kind, [&options, kind] { return options.adapter == kind; });
    return option;
  };
  of("adalora", add("--target-r", adalora.target_r, "adalora: mean rank at the end"));
  of("adalora", add("--tinit", adalora.tinit, "adalora: steps before the first pruning"));
  of("adalora", add("--tfinal", adalora.tfinal, "adalora: last steps, with the final ranks"));
  of("adalora", add("--delta-t,--deltaT", adalora.deltaT, "adalora: steps between two prunings"));
  of("adalora", add("--beta1", adalora.beta1, "adalora: smoothing of importances"));
  of("adalora", add("--beta2", adalora.beta2, "adalora: smoothing of their uncertainty"));
  of("adalora", add("--orth-reg-weight", adalora.orth_reg_weight,
                    "adalora: weight of the orthogonality term"));
  of("adalora", add("--total-step", adalora.total_step,
                    "adalora: steps of the schedule, 0: those of the training"));
  PromptTuningOptions& prompt = options.prompt_tuning;
  of("prompt", add("--num-virtual-tokens", prompt.num_virtual_tokens,
                   "prompt: tokens in front of every text, 0: those of the model's own prompt"));
  of("prompt", add("--prompt-name", prompt.prompt_name,
                   "prompt: which soft prompt is trained; a model may have several"));
  of("prompt", add("--prompt-tuning-init", prompt.prompt_tuning_init,
                   "prompt: start from random values, random tokens or a text")
                   .one_of({"random", "sample_vocab", "text"}));
  of("prompt", add("--prompt-tuning-init-text", prompt.prompt_tuning_init_text,
                   "prompt: the text, repeated or cut to the number of tokens"))
      .only_with("--prompt-tuning-init text",
                 [&prompt] { return prompt.prompt_tuning_init == "text"; });
}

Option add_adapters(Command& command, std::vector<std::string>& adapters) {
  return command
      .add_option("--adapter", adapters,
                  "PEFT folder: LoRA or AdaLoRA, or a soft prompt; repeatable")
      .repeatable()
      .existing_folder();
}

void add_init_prompt(Command& command, std::string& folder) {
  command
      .add_option("--init-prompt", folder,
                  "folder of soft-prompt: its soft prompt stands in front of every text, frozen "
                  "beside an adapter (--lora-r)")
      .existing_folder();
}

Option add_dtype(Command& command, std::string& dtype) {
  return command
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
