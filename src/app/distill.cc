// etrlrec distill: options of stage 2 and what it prints.
#include "method/distill.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"

namespace etrlrec {
namespace {

void add_loss_options(Command& command, DistillOptions& distill,
                      std::vector<std::string>& field_weights) {
  SftOptions& options = distill.sft;
  command
      .add_option("--answer-loss", distill.answer_loss,
                  "cross-entropy of the answer's tokens, or of the answer among all candidates")
      .one_of({"tokens", "candidates"});
  command
      .add_option("--hidden-dropout", options.hidden_dropout,
                  "dropout of embeddings, blocks and final states")
      .range(0.0, 0.95);
  command.add_option("--loss-type", options.loss_type, "segment: answer and reasoning weigh alike")
      .one_of({"segment", "token"});
  command.add_option("--answer-weight", options.answer_weight, "of the answer's tokens");
  command.add_option("--prompt-weight", options.prompt_weight, "of the prompt's tokens");
  command
      .add_option("--neftune-noise-alpha", options.neftune_noise_alpha,
                  "noise on the input embeddings, e.g. 5; 0: none")
      .at_least(0);
  command
      .add_option(
          "--tokens-per-pass", options.tokens_per_pass,
          "a micro-batch of more tokens takes several forward and backward passes (the same "
          "gradient, less memory), 0: always one")
      .at_least(0);
  command
      .add_option("--field-weight", field_weights,
                  "NAME=WEIGHT of a field of the reasoning, e.g. pick/2=5; repeatable")
      .repeatable()
      .only_with("reasoning, not with --label-only", [&distill] { return !distill.label_only; });
}

// How a row is shown, where no reasoning folder says so.
struct Shown {
  bool times = true, attributes = true;
  int32_t max_history = PromptOptions{}.max_history;
  std::string knowledge = "none";
};

void add_shown(Command& command, Shown& shown) {
  command.add_flag("--times,!--no-times", shown.times,
                   "times in the prompt; only without --reasoning, which says so itself");
  command.add_flag("--attributes,!--no-attributes", shown.attributes,
                   "attributes in the prompt; only without --reasoning, which says so itself");
  command.add_option("--max-history", shown.max_history,
                     "history entries in a prompt; only without --reasoning, which says so itself");
}

void add_knowledge(Command& command, Shown& shown, DistillOptions& options) {
  command
      .add_option("--knowledge", shown.knowledge,
                  "what a prompt says besides history and candidates, without --reasoning: as "
                  "construct has it; list: what a recommender puts first of all that the user has "
                  "not seen")
      .one_of(knowledge_names())
      .only_with("--label-only and no --reasoning",
                 [&options] { return options.label_only && options.reasoning.empty(); });
  command.add_option("--knowledge-items", options.knowledge_items, "items of each list, at most")
      .range(1, 100)
      .only_with("--knowledge", [&shown] { return shown.knowledge != "none"; });
}

}  // namespace

void add_distill(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("distill", "train a student language model on the teacher's reasoning");
  command.example(
      "distill --data shop --reasoning shop-reasoning --model shop-base --out shop-student");
  command.alias("sft");
  auto options = std::make_shared<DistillOptions>();
  auto adapter = std::make_shared<AdapterOptions>();
  auto field_weights = std::make_shared<std::vector<std::string>>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("--reasoning", options->reasoning, "folder of construct");
  command
      .add_option("--recommender", options->recommenders,
                  "of prompts that show a pattern or a list: its recommender; only rows that it "
                  "has not learned from are used; of lists repeatable, for those of fit --folds")
      .repeatable();
  command.add_option("-m,--model", options->model, "language model folder to start from")
      .required()
      .existing_folder();
  command
      .add_option("-o,--out", options->out, "model folder to fill; an unfinished one is continued")
      .required();
  command.add_flag("--label-only", options->label_only, "train on the answers without reasoning");
  command.add_option("--answers", options->answers, "what follows a reasoning")
      .one_of({"teacher", "target"});
  command
      .add_option("--negatives", options->negatives,
                  "what an answer is told apart from: file, the candidates of DATA's file; "
                  "popular, others that are drawn by popularity for the same rows")
      .one_of({"file", "popular"})
      .only_with("--label-only and --answer-loss candidates",
                 [=] { return options->label_only && options->answer_loss == "candidates"; });
  command
      .add_option("--direct-share", options->direct_share,
                  "share of the rows trained as a direct answer, too")
      .range(0.0, 1.0)
      .only_with("reasoning, not with --label-only", [=] { return !options->label_only; });
  command
      .add_option("--sft-share", options->sft_share,
                  "share of the training rows for distill; reinforce uses the others")
      .range(0.0, 1.0);
  command
      .add_option("--half-life-days", options->half_life_days,
                  "age at which a row counts half of the latest one, 0: all count alike")
      .at_least(0);
  auto shown = std::make_shared<Shown>();
  add_shown(command, *shown);
  add_knowledge(command, *shown, *options);
  add_style(command, options->style);
  command.add_option("--max-reasoning-tokens", options->max_reasoning_tokens,
                     "budget of a reasoning; longer rows are dropped");
  command.add_option("--limit", options->limit, "training rows, drawn by the seed; 0: all");
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation");
  add_loss_options(command, *options, *field_weights);
  add_training_options(command, options->trainer, options->eval_rows);
  add_init_prompt(command, options->init_prompt);
  add_adapter_options(command, *adapter);
  add_dtype(command, options->dtype);
  auto dry_run = std::make_shared<bool>(false);
  add_dry_run(command, *dry_run);
  command.on_run([=, &common] {
    const Stopwatch watch;
    for (const std::string& text : *field_weights) add_field_weight(text, options->sft);
    options->trainer.seed = common.seed;
    options->numerics = common.numerics();
    options->lora = adapter->config();
    options->prompt_tuning = adapter->prompt();
    check_trainable(options->dtype, *adapter);
    options->sft.accuracy_steps = options->trainer.logging_steps;
    if (!shown->times) options->with_times = false;
    if (!shown->attributes) options->with_attributes = false;
    if (command.is_changed("--max-history")) options->max_history = shown->max_history;
    if (shown->knowledge != "none") options->knowledge = knowledge(shown->knowledge);
    DistillSetup stage = setup(*options);
    if (*dry_run) return report_estimate(plan(stage), "distill", common);
    carry_out(std::move(stage), command, common, watch);
  });
}

}  // namespace etrlrec
