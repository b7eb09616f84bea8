// etrlrec demo and etrlrec movielens: the whole method in one command, as two sets of pipeline
// options. The recipes were chosen on validation rows; docs/experiments.md has what was tried.
#include <filesystem>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "method/fit.h"
#include "method/pipeline.h"

namespace etrlrec {
namespace {

// What both recipes share: a small decoder with the lookup start, plain imitation of the teacher,
// then GRPO with exact answer expectation.
PipelineOptions common_recipe(uint64_t seed) {
  PipelineOptions options;
  options.seed = seed;
  options.prepare.split.seed = seed;
  options.prepare.candidates.seed = seed;
  for (PartOptions* part : {&options.prepare.train, &options.prepare.valid, &options.prepare.test})
    part->min_history = 3;

  options.sasrec_trainer = sasrec_trainer_options();
  options.sasrec_trainer.seed = seed;

  options.construct.seed = seed;
  options.construct.draws = 1;
  options.construct.hint_policy = "never";
  options.construct.filter_answer =
      false;  // imitation: what the teacher got wrong is left to reinforcement

  options.new_lm.seed = seed;
  options.new_lm.hidden_size = 64;
  options.new_lm.num_attention_heads = 2;

  TrainerOptions& sft = options.distill.trainer;
  sft.seed = seed;
  sft.learning_rate = 2e-3;
  sft.train_batch_size = 16;
  sft.adam_beta2 = 0.98;
  options.label_only_factor = 1.25;  // its rows are shorter: at least as many tokens
  options.distill.max_reasoning_tokens = 96;
  options.distill.sft_share = 0.5;
  options.distill.sft.loss_type = "token";
  options.distill.sft.tokens_per_pass = 0;

  TrainerOptions& rl = options.reinforce.trainer;
  rl.seed = seed;
  rl.learning_rate = 5e-4;
  rl.lr_scheduler_type = "constant";
  rl.train_batch_size = 32;
  options.reinforce.curriculum.name = "C1";  // constant weights, the label leads
  options.reinforce.sft_share = options.distill.sft_share;
  options.reinforce.grpo.num_generations = 8;
  options.reinforce.grpo.rb = true;
  // Holds the entropy up until the policy has found what decides; without it one hypothesis wins
  // everywhere within 30 steps.
  options.reinforce.grpo.policy.beta = 0.05;
  return options;
}

PipelineOptions demo_recipe(bool quick, uint64_t seed) {
  PipelineOptions options = common_recipe(seed);
  PrepareOptions& prepare = options.prepare;
  prepare.world = WorldOptions{.users = quick ? 1500 : 6000, .seed = seed};
  prepare.split.target = TimeTarget::kLast;
  prepare.train.rows = quick ? 12000 : 60000;
  prepare.valid.rows = 400;
  prepare.test.rows = quick ? 400 : 2400;
  options.sasrec_trainer.num_train_epochs = quick ? 8 : 20;
  options.distill.trainer.max_steps = quick ? 500 : 1200;
  options.distill.eval_rows = quick ? 100 : 400;
  options.reinforce.trainer.max_steps = quick ? 60 : 350;
  options.reinforce.eval_rows = quick ? 100 : 400;
  options.reinforce.trainer.eval_steps = quick ? 20 : 50;
  options.other_protocol_rows = quick ? 100 : 500;
  return options;
}

PipelineOptions movielens_recipe(uint64_t seed) {
  PipelineOptions options = common_recipe(seed);
  options.name = "MovieLens-100K";
  options.prepare.train.rows = 60000;
  options.prepare.valid.rows = 500;
  options.prepare.test.rows = 2000;
  options.sasrec_trainer.num_train_epochs = 60;
  options.distill.max_reasoning_tokens = 128;
  options.distill.trainer.max_steps = 600;
  options.distill.eval_rows = 300;
  options.reinforce.trainer.max_steps = 250;
  options.reinforce.eval_rows = 300;
  return options;
}

struct DemoOptions {
  std::string out, input, informative = "all";
  bool quick = false;
};

void set_out(PipelineOptions& options, const std::string& out, const std::string& user) {
  options.out = out;
  options.next_command = fmt::format(
      "build/etrlrec recommend --data {0}/data --model {0}/policy --recommender "
      "{0}/recommenders/sasrec --user {1} -k 5 --explain",
      out, user);
}

void run_demo(const DemoOptions& demo, const CommonOptions& common) {
  PipelineOptions options = demo_recipe(demo.quick, common.seed);
  const char* usual = demo.quick ? "runs/demo-quick" : "runs/demo";
  set_out(options, demo.out.empty() ? usual : demo.out, "u17");
  options.prepare.world->informative = demo.informative;
  options.recipe = {{"command", demo.quick ? "demo --quick" : "demo"},
                    {"informative", demo.informative},
                    {"seed", std::to_string(common.seed)}};
  run_pipeline(std::move(options));
}

void run_movielens(const DemoOptions& movielens, const CommonOptions& common) {
  PipelineOptions options = movielens_recipe(common.seed);
  set_out(options, movielens.out.empty() ? "runs/movielens" : movielens.out, "42");
  options.prepare.input = movielens.input;
  options.recipe = {
      {"command", "movielens"},
      {"path", std::filesystem::absolute(movielens.input).lexically_normal().string()},
      {"seed", std::to_string(common.seed)}};
  run_pipeline(std::move(options));
}

}  // namespace

void add_demo(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "demo", "the whole method on the embedded synthetic world, ends with a report");
  auto options = std::make_shared<DemoOptions>();
  command.add_option("-o,--out", options->out,
                     "folder of the run, by default runs/demo or runs/demo-quick; an interrupted "
                     "one is continued");
  command.add_flag("--quick", options->quick, "smaller numbers, under 90 seconds");
  command
      .add_option("--informative", options->informative, "which rules of the world say something")
      .one_of({"all", "order", "gaps", "season"});
  command.on_run([options, &common] { run_demo(*options, common); });
}

void add_movielens(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("movielens", "the whole method on a MovieLens folder");
  auto options = std::make_shared<DemoOptions>();
  command
      .add_option("path", options->input,
                  "folder with u.data and u.item, or another MovieLens layout")
      .required()
      .existing_folder();
  command.add_option("-o,--out", options->out,
                     "folder of the run, by default runs/movielens; an interrupted one is "
                     "continued");
  command.on_run([options, &common] { run_movielens(*options, common); });
}

}  // namespace etrlrec
