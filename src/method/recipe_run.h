// A recipe carried out: the stages one after another, everything judged on the same rows as soon as
// its inputs are there, and a report. A stage is a command with a folder of its own. The run folder
// keeps the key of every stage (method/recipe_plan), so that a finished one is recognised, an
// interrupted one goes on, and one with other options, inputs or files is made again.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "method/recipe_plan.h"
#include "method/recipe_report.h"
#include "nn/numerics.h"

namespace etrlrec {

struct RunOptions {
  // Words for every command: --threads=1, --quiet …
  std::vector<std::string> common;
  Numerics numerics;
  bool json = false;                  // print summary.json instead of the table
  std::vector<std::string> comments;  // above the recipe in recipe.toml
  // Folders of other runs of recipes: what is finished there under the same key is taken from them
  // by hard links instead of made again.
  std::vector<std::filesystem::path> earlier = {};
};

struct RecipeOutcome {
  RecipeResults results;
  ReportData report;
};
// Runs the recipe in recipe.out, for several seeds in one folder seed-N for each, and writes its
// reports. By seed; `recipe` must live as long. Errors as run_recipe.
std::vector<RecipeOutcome> carry_out_recipe(const Recipe& recipe, const ProgramCommands& commands,
                                            const RunOptions& options);

// The same; prints table, report and the next command, and returns the path of the report (of
// several: of the first). recipe.toml there is the recipe as it was run. Errors: those of
// plan_recipe, before anything is done; kUsage when the folder holds the run of another recipe,
// seed or log, or a folder of a stage's name that no recipe made.
std::filesystem::path run_recipe(const Recipe& recipe, const ProgramCommands& commands,
                                 const RunOptions& options);

}  // namespace etrlrec
