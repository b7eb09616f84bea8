#include "method/recipe_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/nearest_word.h"

namespace etrlrec {
namespace {

constexpr RecipeText kTexts[] = {
#include "recipe_texts.inc"
};

}  // namespace

std::span<const RecipeText> recipe_texts() { return kTexts; }

FoundRecipe find_recipe(const std::string& name) {
  if (name.ends_with(".toml")) return {read_file(name), name};
  std::vector<std::string> known;
  for (const RecipeText& recipe : kTexts) {
    if (name == recipe.name) return {recipe.text, fmt::format("recipes/{}.toml", name)};
    known.emplace_back(recipe.name);
  }
  const std::string near = nearest_word(name, known, 4);
  fail(ExitCode::kUsage,
       "unknown recipe \"{}\"{}\nhint: etrlrec run --list names the recipes; a file's name ends in "
       ".toml",
       name, near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near));
}

std::string recipe_summary(const RecipeText& recipe) {
  const std::string text = recipe.text;
  const size_t begin = text.find("# "), end = text.find('\n', begin);
  return begin == std::string::npos ? "" : text.substr(begin + 2, end - begin - 2);
}

std::string format_recipes() {
  size_t width = 0;
  for (const RecipeText& recipe : kTexts)
    width = std::max(width, std::string_view(recipe.name).size() + 2);
  std::string out;
  for (const RecipeText& recipe : kTexts)
    out += fmt::format("{:<{}}{}\n", recipe.name, width, recipe_summary(recipe));
  return out;
}

}  // namespace etrlrec
