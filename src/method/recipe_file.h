// Recipes: a run of several arms as data. A recipe is a TOML text that lists stages, each a command
// with its options, what is judged, and which results are compared; docs/formats.md describes the
// keys. This unit reads and writes recipes; method/recipe_run carries them out.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace etrlrec {

// Where something was written, for messages: "recipes/demo.toml:12".
struct RecipePlace {
  std::string file;
  int64_t line = 0;
};
std::string to_string(const RecipePlace& place);

// The value of an option as words of a command line: one word, or those of a list.
struct RecipeValue {
  std::vector<std::string> words;
  bool is_list = false, is_text = false;  // written in brackets, in quotes
  bool operator==(const RecipeValue&) const = default;
};

struct RecipeOption {
  std::string name;  // a long option of the command, without dashes: "learning-rate"
  RecipeValue value;
  RecipePlace place;
};

// A stage, which runs a command into the folder of its id, or something that is judged, which runs
// `evaluate`. The value "@base" is the folder of the stage base, "@fit/sasrec" a folder in it.
struct RecipeStep {
  std::string id;
  std::string command;
  std::string heading;  // in log, curves and seconds; empty: the command
  bool curves = false;  // the report shows the curves of its training
  std::string like;     // id of the step whose options it starts from
  std::vector<RecipeOption> options;
  std::vector<std::string> own;  // names of the options that it gives or takes back itself
  RecipePlace place;

  // Null where the option is not given.
  const RecipeOption* find(const std::string& option) const;
  // Its only word; empty where the option is not given.
  std::string word(const std::string& option) const;
};

struct Recipe {
  std::string name;   // a folder is continued by the recipe of the same name only
  std::string title;  // of the report
  std::string out;    // folder of the run
  std::string next;   // the last line of the run; {out} is the folder
  std::vector<uint64_t> seeds = {42};
  // Words that a run must be given, in the order of the command line; {path} in a value is replaced
  // by the word "path", made absolute where it names a file or folder.
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> given;  // what they were
  std::vector<RecipeStep> stages, judges;
  std::vector<std::pair<std::string, std::string>> compare;  // ids of judges
  RecipePlace place;
};

// Reads a recipe; one that is `like` another starts from that recipe of recipe_texts. Errors
// (kInput, with file and line): no TOML, an unknown key (with the nearest known one), an id twice,
// a stage without command, a comparison of what is not judged.
Recipe read_recipe(const std::string& text, const std::string& file);
Recipe open_recipe(const std::string& name);  // of find_recipe (method/recipe_texts)

// KEY=VALUE of the command line. KEY: title, out or next; STAGE.OPTION; judge.OPTION of all that is
// judged; judge.ID.OPTION of one. VALUE as in TOML; a word without quotes is a text. An empty text
// takes an option back. Errors (kUsage) name the nearest known word.
void set_in_recipe(Recipe& recipe, const std::string& assignment);

// The words for `arguments`, in their order. Error (kUsage) when they are fewer or more.
void give_arguments(Recipe& recipe, const std::vector<std::string>& words);

// A TOML text from which read_recipe makes the same recipe; `comments` stand above it, one a line.
std::string to_toml(const Recipe& recipe, const std::vector<std::string>& comments = {});

}  // namespace etrlrec
