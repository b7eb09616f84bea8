// etrlrec soft-prompt: stage 1 of DELRec.
#include "method/soft_prompt.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"

namespace etrlrec {
namespace {

void add_prompt_options(Command& command, PromptTuningOptions& prompt) {
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group("Prompt");
  };
  add("--num-virtual-tokens", prompt.num_virtual_tokens,
      "tokens in front of every text; 0: 100, or those of the prompt that is trained further")
      .at_least(0);
  add("--prompt-name", prompt.prompt_name, "which soft prompt; a model may have several");
  add("--prompt-tuning-init", prompt.prompt_tuning_init,
      "start of a new prompt: random values, random tokens (without a word) or a text")
      .one_of({"random", "sample_vocab", "text"});
  add("--prompt-tuning-init-text", prompt.prompt_tuning_init_text,
      "the text, repeated or cut to the number of tokens")
      .only_with("--prompt-tuning-init text",
                 [&prompt] { return prompt.prompt_tuning_init == "text"; });
}

void add_task_options(Command& command, SoftPromptOptions& options, std::string& weights) {
  const auto trains = [&options](const char* task) {
    return std::find(options.tasks.begin(), options.tasks.end(), task) != options.tasks.end();
  };
  const auto trains_any = [=] { return trains(kAnalysisTask) || trains(kSimulatingTask); };
  const auto simulates = [=] { return trains(kSimulatingTask); };
  command
      .add_option("--tasks", options.tasks,
                  "ta: find the event that a time line hides; rps: find the first item of a "
                  "recommender's list; none: leave the prompt as it starts")
      .separated_by(',');
  command
      .add_option("--recommender", options.recommenders,
                  "of rps: folders of fit --folds N --leave-out-fold 0 to N - 1, or one of fit "
                  "--train-share; repeatable")
      .repeatable()
      .only_with("--tasks rps", simulates);
  command
      .add_option("--task-weights", weights,
                  "equal; by the norms of the gradients; by what a step gains on next items")
      .one_of(task_weighting_names())
      .only_with("two tasks", [&options] { return options.tasks.size() > 1; });
  command
      .add_option("--gain-step", options.mix.gain_step,
                  "length of the step that is tried, in gradients")
      .only_with("--task-weights gain", [&weights] { return weights == "gain"; });
  command.add_option("--list-items", options.list_items, "of a list, the hidden one included")
      .only_with("--tasks rps", simulates);
  command
      .add_option("--num-candidates", options.num_candidates,
                  "of a row: the hidden item, the others of the list, random ones")
      .only_with("a task, not with --tasks none", trains_any);
  command.add_option("--limit", options.limit, "training rows, drawn by the seed; 0: all")
      .only_with("a task, not with --tasks none", trains_any);
  command
      .add_option("--tokens-per-pass", options.tokens_per_pass,
                  "a micro-batch of more tokens takes several passes; 0: always one")
      .at_least(0)
      .only_with("a task, not with --tasks none", trains_any);
  command
      .add_option("--example-items", options.example_items,
                  "of the example from the history's beginning, 0: none")
      .only_with("--tasks ta", [=] { return trains(kAnalysisTask); });
}

}  // namespace

void add_soft_prompt(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "soft-prompt",
      "train soft prompt tokens on order and on a recommender's lists (DELRec, stage 1)");
  command.example(
      "soft-prompt --data shop --model shop-timeline --recommender shop-fold0/sasrec --recommender "
      "shop-fold1/sasrec --out shop-prompt");
  auto options = std::make_shared<SoftPromptOptions>();
  auto weights = std::make_shared<std::string>("equal");
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-m,--model", options->model, "language model folder, which stays frozen")
      .required()
      .existing_folder();
  command
      .add_option("-o,--out", options->out, "model folder to fill; an unfinished one is continued")
      .required();
  add_task_options(command, *options, *weights);
  add_prompt_options(command, options->prompt);
  auto max_history = std::make_shared<int32_t>(PromptOptions{}.max_history);
  command.add_option("--max-history", *max_history,
                     "history entries that are shown, here and later; without it as the model's");
  add_style(command, options->style);
  command.add_flag("--list-candidates", options->list_candidates,
                   "prompts name the candidates, here and later");
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation")
      .at_least(0);
  add_training_options(command, options->trainer, options->eval_rows);
  add_dtype(command, options->dtype);
  auto dry_run = std::make_shared<bool>(false);
  add_dry_run(command, *dry_run);
  command.on_run([=, &common] {
    const Stopwatch watch;
    options->trainer.seed = common.seed;
    options->numerics = common.numerics();
    options->mix.weighting = task_weighting(*weights);
    if (options->tasks == std::vector<std::string>{"none"}) options->tasks.clear();
    if (command.is_changed("--max-history")) options->max_history = *max_history;
    SoftPromptSetup stage = setup(*options);
    if (*dry_run) return report_estimate(plan(stage), "soft-prompt", common);
    carry_out(std::move(stage), command, common, watch);
  });
}

}  // namespace etrlrec
