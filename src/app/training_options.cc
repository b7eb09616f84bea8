#include "app/training_options.h"

#include <fmt/format.h>

#include <tuple>

#include "app/command_line.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"

namespace etrlrec {
namespace {

constexpr const char* kTrainingGroup = "Training";
constexpr int64_t kAdaLoraInitR = 12;  // PEFT's default

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

LoraConfig AdapterOptions::config() const {
  LoraConfig config = lora;
  const auto values = [](const AdaLoraConfig& c) {
    return std::tie(c.target_r, c.tinit, c.tfinal, c.deltaT, c.beta1, c.beta2, c.orth_reg_weight,
                    c.total_step);
  };
  if (adapter == "adalora") {
    if (config.r == 0) config.r = kAdaLoraInitR;
    CHECK(!lora.use_rslora, kUsage, "--use-rslora: is an option of --adapter lora");
    config.adalora = adalora;
  } else {
    CHECK(values(adalora) == values(AdaLoraConfig{}), kUsage,
          "--target-r, --tinit, --tfinal, --delta-t, --beta1, --beta2, --orth-reg-weight and "
          "--total-step are options of --adapter adalora");
  }
  CHECK(adapter != "prompt" ||
            (lora.r == 0 && lora.lora_alpha == LoraConfig{}.lora_alpha && lora.lora_dropout == 0 &&
             !lora.use_rslora && lora.target_modules == LoraConfig{}.target_modules),
        kUsage,
        "--lora-r, --lora-alpha, --lora-dropout, --use-rslora and --target-modules are options of "
        "--adapter lora");
  return config;
}

std::optional<PromptTuningOptions> AdapterOptions::prompt() const {
  if (adapter == "prompt") return prompt_tuning;
  CHECK(prompt_tuning.num_virtual_tokens == 0 && prompt_tuning.prompt_tuning_init == "random" &&
            prompt_tuning.prompt_tuning_init_text.empty() && prompt_tuning.prompt_name == "default",
        kUsage,
        "--num-virtual-tokens, --prompt-name, --prompt-tuning-init and --prompt-tuning-init-text "
        "are options of --adapter prompt");
  return std::nullopt;
}

void check_trainable(const std::string& dtype, const AdapterOptions& adapter) {
  CHECK(dtype == "float32" || adapter.config().r > 0 || adapter.prompt(), kUsage,
        "--dtype {}: such weights are frozen\nhint: train an adapter, --lora-r 8", dtype);
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
