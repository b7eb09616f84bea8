// etrlrec run, own, demo, movielens and delrec: runs of several arms from recipes.
#include <array>
#include <memory>

#include "app/commands.h"
#include "base/check.h"
#include "method/own_plan.h"
#include "method/recipe_grid.h"
#include "method/recipe_run.h"
#include "method/recipe_texts.h"

namespace etrlrec {
namespace {

struct RunWords {
  std::vector<std::string> words, settings, only, ablations;
  std::string out, student, informative = "all";
  bool list = false, print = false, quick = false;
  double hours = 1;
};

Recipe with_common(Recipe recipe, const std::string& out, const Command& command,
                   const CommonOptions& common) {
  if (!out.empty()) recipe.out = out;
  if (command.is_given("--seed")) recipe.seeds = {common.seed};
  return recipe;
}

void start(Recipe recipe, const std::string& out, const Command& command,
           const CommonOptions& common, const std::vector<std::string>& comments = {}) {
  run_recipe(with_common(std::move(recipe), out, command, common), program_commands(),
             {words_for_stages(common), common.numerics(), common.json, comments});
}

void run_any(RunWords asked, const Command& command, const CommonOptions& common) {
  if (asked.list) return fmt::print("{}", format_recipes());
  CHECK(!asked.words.empty(), kUsage, "run: expected a recipe\nhint: etrlrec run --list");
  if (asked.print) return fmt::print("{}", find_recipe(asked.words[0]).text);
  Recipe recipe = open_recipe(asked.words[0]);
  asked.words.erase(asked.words.begin());
  give_arguments(recipe, asked.words);
  for (const std::string& setting : asked.settings) set_in_recipe(recipe, setting);
  if (!asked.only.empty()) keep_only(asked.only, recipe);
  if (!asked.ablations.empty()) {
    run_grid(with_common(std::move(recipe), asked.out, command, common), asked.ablations,
             program_commands(), {words_for_stages(common), common.numerics(), common.json, {}});
    return;
  }
  start(std::move(recipe), asked.out, command, common);
}

void run_demo(const RunWords& asked, const Command& command, const CommonOptions& common) {
  Recipe recipe = open_recipe(asked.quick ? "demo-quick" : "demo");
  if (command.is_changed("--informative"))
    set_in_recipe(recipe, "data.informative=" + asked.informative);
  start(std::move(recipe), asked.out, command, common);
}

void run_own(const RunWords& asked, const Command& command, const CommonOptions& common) {
  std::vector<std::string> words = command.others();
  CHECK(!words.empty() && !words[0].starts_with("-"), kUsage,
        "own: expected the log first\nhint: etrlrec own LOG --hours 1, then options of prepare");
  OwnOptions own;
  own.log = words[0];
  own.out = asked.out;
  own.prepare = options_of_prepare({words.begin() + 1, words.end()});
  own.student = asked.student;
  own.hours = asked.hours;
  own.cores = common.threads;
  if (command.is_given("--seed")) own.seeds = {common.seed};
  OwnPlan plan = plan_own(own, program_commands(), words_for_stages(common));
  start(std::move(plan.recipe), "", command, common, plan.reasons);
}

Option add_out(Command& command, std::string& out) {
  return command.add_option("-o,--out", out,
                            "folder of the run, default as the recipe says; finished stages there "
                            "are taken as they are, an interrupted one is continued");
}

void add_student(Command& command, std::string& student) {
  command
      .add_option(
          "--student", student,
          "model folder that is trained instead of a small one from scratch, e.g. of ./run get "
          "smollm2")
      .existing_folder();
}

}  // namespace

void add_run(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("run", "a recipe: a run of several arms as data");
  command.example("run movielens-100k path/to/ml-100k --set policy.max-steps=50 --out runs/short");
  auto options = std::make_shared<RunWords>();
  command.add_option("recipe", options->words,
                     "name of a recipe or a .toml file, then the words it asks for, e.g. a path");
  command
      .add_option("--set", options->settings,
                  "KEY=VALUE instead of what the recipe says: STAGE.OPTION, judge.OPTION, title, "
                  "out, next; repeatable")
      .repeatable();
  command
      .add_option("--only", options->only,
                  "id of something judged, a row of the table: it and the stages that it needs; "
                  "repeatable")
      .repeatable();
  command
      .add_option("--ablate", options->ablations,
                  "KEY=v1,v2: the recipe as it is, then once with each value, KEY as in --set; "
                  "repeatable, one change at a time; each run has a folder in --out, what does not "
                  "change is made once, and a table at the end compares them with the first")
      .repeatable();
  add_out(command, options->out);
  command.add_flag("--list", options->list, "list the recipes of the program");
  command.add_flag("--print", options->print, "print the recipe, to copy and change it");
  command.on_run([=, &common] { run_any(*options, command, common); });
}

void add_own(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "own",
      "the whole method on your own log: LOG, then options of prepare (columns, items, format …)");
  command.example(
      "own events.csv --items products.csv --map user=cust,item=sku,time=ts --title name "
      "--attributes category --hours 1");
  auto options = std::make_shared<RunWords>();
  command
      .add_option("--hours", options->hours,
                  "time there is; sizes, epochs and rows are chosen for it")
      .range(0.01, 1000.0);
  add_student(command, options->student);
  add_out(command, options->out);
  command.keep_others();
  command.on_run([=, &common] { run_own(*options, command, common); });
}

void add_demo(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "demo", "the whole method on the embedded synthetic world, ends with a report");
  command.example("demo --out runs/demo");
  auto options = std::make_shared<RunWords>();
  add_out(command, options->out);
  command.add_flag("--quick", options->quick, "smaller numbers, under 90 seconds");
  command
      .add_option("--informative", options->informative, "which rules of the world say something")
      .one_of({"all", "order", "gaps", "season"});
  command.on_run([=, &common] { run_demo(*options, command, common); });
}

void add_movielens(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("movielens", "the whole method on a MovieLens folder");
  command.example("movielens path/to/ml-100k");
  auto options = std::make_shared<RunWords>();
  command
      .add_option("path", options->words,
                  "folder with u.data and u.item, or another MovieLens layout")
      .required()
      .count(1, 1)
      .existing_folder();
  add_student(command, options->student);
  add_out(command, options->out);
  command.on_run([=, &common] {
    const bool given = !options->student.empty();
    Recipe recipe = open_recipe(given ? "movielens-student" : "movielens-100k");
    if (given) options->words.push_back(options->student);
    give_arguments(recipe, options->words);
    start(std::move(recipe), options->out, command, common);
  });
}

void add_delrec(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "delrec", "both stages of DELRec on a prepared data set, beside what they start from");
  command.example("delrec --data shop --model shop-timeline --out shop-delrec");
  auto options = std::make_shared<RunWords>();
  auto words = std::make_shared<std::array<std::string, 2>>();
  command.add_option("-d,--data", words->front(), "data set folder").required().existing_folder();
  command
      .add_option("-m,--model", words->back(),
                  "language model folder that answers by title, e.g. of pretrain")
      .required()
      .existing_folder();
  add_out(command, options->out);
  command.on_run([=, &common] {
    Recipe recipe = open_recipe("delrec");
    give_arguments(recipe, {words->front(), words->back()});
    start(std::move(recipe), options->out, command, common);
  });
}

}  // namespace etrlrec
