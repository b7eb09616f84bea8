// From a recipe to the calls of a run: which stages follow which, the words of every call, and the
// key by which a finished stage is recognised.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "method/recipe_file.h"

namespace etrlrec {

// The commands of the program as a recipe needs them. Options are declared once, with the commands,
// so whoever knows those passes this in.
struct ProgramCommands {
  std::vector<std::string> names;
  // The long names of a command's options, without dashes.
  std::function<std::vector<std::string>(const std::string& command)> options;
  // What the parser says against the words of a command line that may lack required options; empty:
  // nothing.
  std::function<std::string(const std::vector<std::string>& words)> complaint;
  // The first of these words that would do nothing beside the others, and what it needs; empty:
  // none.
  std::function<std::string(const std::vector<std::string>& words)> without_effect;
  // Runs a command line; what it prints goes to the file `printed`.
  std::function<void(const std::vector<std::string>& words, const std::filesystem::path& printed)>
      run;
};

struct RecipeCall {
  const RecipeStep* step = nullptr;  // of the recipe, which must live as long
  bool judged = false;
  std::vector<std::string> inputs;  // ids of stages
  // The command and its options, without --out; references are folders of the run.
  std::vector<std::string> words;
  // SHA-256 of all that decides the result: version, command, options, seed, arithmetic, the keys
  // of the inputs, and the content of files and folders from outside.
  std::string key;
};

struct RecipeSettings {
  std::filesystem::path out;  // of this seed
  uint64_t seed = 42;
  std::string arithmetic;  // of the models, resolved
};

// Stages in an order in which every input comes before its use, then all that is judged in the
// order of the recipe. Errors (kInput, with file and line, and the nearest known word): an unknown
// command, option or stage, a value that an option refuses, stages that wait for each other.
std::vector<RecipeCall> plan_recipe(const Recipe& recipe, const ProgramCommands& commands,
                                    const RecipeSettings& settings);

// Leaves of a recipe what is judged under these ids, the stages that it needs, and the comparisons
// among it. Error (kUsage), with the nearest known one, for an id of nothing that is judged.
void keep_only(const std::vector<std::string>& judged, Recipe& recipe);

// The folder or file that a value names: "@base/x" is in the run folder, anything else stays.
std::string resolve_reference(const std::string& word, const std::filesystem::path& out);
// "base" of "@base/x"; empty where the word is no reference.
std::string referenced_stage(const std::string& word);

}  // namespace etrlrec
