// etrlrec pretrain: a language model reads the time lines of a log.
#include "method/pretrain.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"

namespace etrlrec {

void add_pretrain(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "pretrain", "let a language model read the time lines of the training part as text");
  command.example("pretrain --data shop --model shop-base --out shop-timeline");
  auto options = std::make_shared<PretrainOptions>();
  auto adapter = std::make_shared<AdapterOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-m,--model", options->model, "language model folder to start from")
      .required()
      .existing_folder();
  command
      .add_option("-o,--out", options->out, "model folder to fill; an unfinished one is continued")
      .required();
  command.add_option("--max-history", options->max_history, "history entries of later prompts");
  command.add_option("--window", options->window, "entries of a time line that are read at once");
  command.add_flag("--times,!--no-times", options->with_times, "gap words and seasons in the text");
  command.add_flag("--attributes,!--no-attributes", options->with_attributes,
                   "attributes after each title");
  add_style(command, options->style);
  command
      .add_option("--half-life-days", options->half_life_days,
                  "age at which an event counts half of the newest one, 0: all count alike")
      .at_least(0);
  command
      .add_option("--train-share", options->train_share,
                  "earliest share of the training interactions that is read")
      .range(0.0, 1.0);
  auto hidden_dropout = std::make_shared<double>(0.3);
  command
      .add_option(
          "--hidden-dropout", *hidden_dropout,
          "dropout of embeddings, blocks and final states; a model with an encoder has none")
      .range(0.0, 0.95);
  command
      .add_option("--tokens-per-pass", options->reading.tokens_per_pass,
                  "a micro-batch of more tokens takes several passes; 0: always one")
      .at_least(0);
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation");
  add_training_options(command, options->trainer, options->eval_rows);
  add_adapter_options(command, *adapter);
  add_dtype(command, options->dtype);
  auto dry_run = std::make_shared<bool>(false);
  add_dry_run(command, *dry_run);
  command.on_run([=, &common] {
    const Stopwatch watch;
    options->trainer.seed = common.seed;
    options->numerics = common.numerics();
    options->lora = adapter->config();
    if (command.is_given("--hidden-dropout")) options->hidden_dropout = *hidden_dropout;
    check_trainable(options->dtype, *adapter);
    CHECK(!adapter->prompt(), kUsage,
          "--adapter prompt: pretrain trains all weights, or a LoRA or AdaLoRA adapter\n"
          "hint: --adapter lora --lora-r 8");
    PretrainSetup stage = setup(*options);
    if (*dry_run) return report_estimate(plan(stage), "pretrain", common);
    carry_out(std::move(stage), command, common, watch);
  });
}

}  // namespace etrlrec
