// etrlrec demo and etrlrec movielens: the whole method on the embedded world or on a MovieLens
// folder. Each is a recipe: the options of every stage. They were chosen on validation rows;
// docs/experiments.md has what was tried.
#include <filesystem>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "method/recipe.h"

namespace etrlrec {
namespace {

// What both recipes share: a small decoder with the lookup start, plain imitation of the teacher,
// then GRPO with exact answer expectation.
Recipe common_recipe(uint64_t seed) {
  Recipe recipe;
  recipe.seed = seed;
  recipe.prepare.train.rows = 60000;
  recipe.fit.models = {"popularity", "recency", "markov", "sasrec"};
  for (PartOptions* part : {&recipe.prepare.train, &recipe.prepare.valid, &recipe.prepare.test})
    part->min_history = 3;

  recipe.construct.draws = 1;
  recipe.construct.hint_policy = "never";
  recipe.construct.filter_answer =
      false;  // imitation: what the teacher got wrong is left to reinforcement

  recipe.new_lm.hidden_size = 64;
  recipe.new_lm.num_attention_heads = 2;

  TrainerOptions& sft = recipe.distill.trainer;
  sft.learning_rate = 2e-3;
  sft.train_batch_size = 16;
  sft.adam_beta2 = 0.98;
  recipe.label_only_steps = 1.25;  // its rows are shorter: at least as many tokens
  recipe.distill.max_reasoning_tokens = 96;
  recipe.distill.sft_share = 0.5;
  recipe.distill.sft.loss_type = "token";
  recipe.distill.sft.tokens_per_pass = 0;

  TrainerOptions& rl = recipe.reinforce.trainer;
  rl.learning_rate = 5e-4;
  rl.lr_scheduler_type = "constant";
  rl.train_batch_size = 32;
  recipe.reinforce.curriculum.name = "C1";  // constant weights, the label leads
  recipe.reinforce.grpo.num_generations = 8;
  recipe.reinforce.grpo.exact_answer_expectation = true;
  // Holds the entropy up until the policy has found what decides; without it one hypothesis wins
  // everywhere within 30 steps.
  recipe.reinforce.grpo.policy.beta = 0.05;
  return recipe;
}

Recipe demo_recipe(bool quick, uint64_t seed) {
  Recipe recipe = common_recipe(seed);
  recipe.title = "ETRLRec on the synthetic world";
  recipe.prepare.world = WorldOptions{.users = quick ? 1500 : 6000};
  recipe.prepare.split.target = TimeTarget::kLast;
  if (quick) recipe.prepare.train.rows = 12000;
  recipe.prepare.valid.rows = 400;
  recipe.prepare.test.rows = quick ? 400 : 2400;
  recipe.fit.trainer.num_train_epochs = quick ? 8 : 20;
  recipe.distill.trainer.max_steps = quick ? 500 : 1200;
  recipe.distill.eval_rows = quick ? 100 : 400;
  recipe.reinforce.trainer.max_steps = quick ? 60 : 350;
  recipe.reinforce.eval_rows = quick ? 100 : 400;
  recipe.reinforce.trainer.eval_steps = quick ? 20 : 50;
  recipe.other_protocol_rows = quick ? 100 : 500;
  return recipe;
}

// A real log is read before anything else (method/pretrain.h); reasoning and reinforcement go on
// from there and answer by title.
Recipe movielens_recipe(uint64_t seed) {
  Recipe recipe = common_recipe(seed);
  recipe.title = "ETRLRec on MovieLens-100K";
  recipe.prepare.valid.rows = 1000;
  recipe.prepare.test.rows = 2000;
  recipe.prepare.train.rows = 20000;
  recipe.fit.trainer.num_train_epochs = 60;

  recipe.new_lm.hidden_size = 128;
  recipe.new_lm.num_hidden_layers = 2;
  recipe.new_lm.init = "random";
  recipe.new_lm.whole_titles = 4096;
  recipe.new_lm.max_history = usual_history(AnswerKind::kTitle);

  PretrainOptions& reading = recipe.pretrain.emplace();
  reading.eval_rows = 1000;

  recipe.distill.answers = "target";
  recipe.distill.max_reasoning_tokens = 96;
  recipe.distill.trainer.learning_rate = 5e-4;
  recipe.distill.trainer.max_steps = 1200;
  recipe.distill.eval_rows = 300;
  recipe.reinforce.trainer.learning_rate = 1e-4;
  recipe.reinforce.trainer.max_steps = 150;
  recipe.reinforce.trainer.eval_steps = 50;
  recipe.reinforce.eval_rows = 300;
  return recipe;
}

struct DemoOptions {
  std::string out, input, informative = "all";
  bool quick = false;
};

void set_out(Recipe& recipe, const std::string& out, const std::string& user) {
  recipe.out = out;
  recipe.next_command = fmt::format(
      "build/etrlrec recommend --data {0}/data --model {0}/policy --recommender "
      "{0}/recommenders/sasrec --user {1} -k 5 --explain",
      out, user);
}

void run_demo(const DemoOptions& demo, const CommonOptions& common) {
  Recipe recipe = demo_recipe(demo.quick, common.seed);
  recipe.numerics = common.numerics();
  const char* usual = demo.quick ? "runs/demo-quick" : "runs/demo";
  set_out(recipe, demo.out.empty() ? usual : demo.out, "u17");
  recipe.prepare.world->informative = demo.informative;
  recipe.options = {{"command", demo.quick ? "demo --quick" : "demo"},
                    {"informative", demo.informative},
                    {"seed", std::to_string(common.seed)}};
  run_recipe(std::move(recipe));
}

void run_movielens(const DemoOptions& movielens, const CommonOptions& common) {
  Recipe recipe = movielens_recipe(common.seed);
  recipe.numerics = common.numerics();
  set_out(recipe, movielens.out.empty() ? "runs/movielens" : movielens.out, "42");
  recipe.prepare.input = movielens.input;
  recipe.options = {
      {"command", "movielens"},
      {"path", std::filesystem::absolute(movielens.input).lexically_normal().string()},
      {"seed", std::to_string(common.seed)}};
  run_recipe(std::move(recipe));
}

}  // namespace

void add_demo(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "demo", "the whole method on the embedded synthetic world, ends with a report");
  command.example("demo --out runs/demo");
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
  command.example("movielens path/to/ml-100k");
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
