// The recipes that are part of the program: the texts of the folder recipes/, embedded when the
// program is built.
#pragma once

#include <span>
#include <string>

namespace etrlrec {

struct RecipeText {
  const char* name;  // of the file, without .toml
  const char* text;
};
std::span<const RecipeText> recipe_texts();  // sorted by name

// The text of a recipe and the file it is from: a file where `name` ends in .toml, else the recipe
// of that name. Errors: kUsage for an unknown name, with the nearest one; kInput for a file that
// cannot be read.
struct FoundRecipe {
  std::string text, file;
};
FoundRecipe find_recipe(const std::string& name);

// The first comment of a text: one line that says what the recipe is.
std::string recipe_summary(const RecipeText& recipe);
// A line for each recipe of the program: its name and, in one column, its summary.
std::string format_recipes();

}  // namespace etrlrec
