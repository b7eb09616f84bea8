// Ablations of a recipe: the run as it is and runs with one setting changed each, in one folder,
// with one table of what every change does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "method/recipe_run.h"

namespace etrlrec {

// One run of a grid. Its folder is out/<id>, characters that are no part of a plain name replaced.
struct GridCell {
  std::string id;  // "base", "policy.beta=0.04"
  Recipe recipe;
};

// `ablations`: "KEY=v1,v2", KEY as set_in_recipe has it; commas inside of brackets and quotes
// belong to a value. The first cell is the recipe itself, "base"; each further one changes one KEY
// to one value and nothing else, in the order given: one at a time, not their product. Errors
// (kUsage): no KEY=, no value, the same cell twice, and those of set_in_recipe.
std::vector<GridCell> plan_grid(const Recipe& recipe, const std::vector<std::string>& ablations);

// Runs the cells in recipe.out one after the other, each as run_recipe does, so that an interrupted
// grid goes on. A stage that a cell does not change is taken from an earlier one by hard links. All
// cells are planned before anything is done. Writes summary.json and table.txt, .md, .tex and
// .html, prints the table (with json the summary), and returns table.html. The table has a row for
// each thing judged in the first cell, and below for each cell that changes it, with the paired
// difference from the first cell over rows and seeds (eval/arms.h), Holm over all of them.
std::filesystem::path run_grid(const Recipe& recipe, const std::vector<std::string>& ablations,
                               const ProgramCommands& commands, const RunOptions& options);

}  // namespace etrlrec
