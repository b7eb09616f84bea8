// The table of all commands, and the commands as recipes call them.
#pragma once

#include <string>
#include <vector>

#include "app/command.h"
#include "app/command_line.h"
#include "method/recipe_plan.h"

namespace etrlrec {

// Declares every command with the common options, which apply before it runs. `common` outlives the
// parse.
void add_commands(CommandLine& app, CommonOptions& common);

// Every call gets a command line of its own, so no option outlives a stage.
ProgramCommands program_commands();

// The common options of a run as words for its stages; the seed is the recipe's.
std::vector<std::string> words_for_stages(const CommonOptions& common);

// What `prepare` understands of these words, as options of a recipe's stage.
std::vector<RecipeOption> options_of_prepare(std::vector<std::string> words);

}  // namespace etrlrec
