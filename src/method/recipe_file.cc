#include "method/recipe_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/io.h"
#include "base/nearest_word.h"
#include "method/recipe_texts.h"

namespace etrlrec {
namespace {

const std::vector<std::string> kKeys = {"name",    "title", "out",   "next", "seeds", "arguments",
                                        "compare", "stage", "judge", "like", "drop",  "set"};
const std::vector<std::string> kWords = {"title", "out", "next"};  // that may be set
constexpr const char* kJudge = "judge";
// Of ids; a stage is a folder, so its id has no slash.
constexpr const char* kLetters =
    "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+_";
const std::vector<std::string> kTaken = {"judge", "predictions", "stages", "look"};

std::vector<std::string> ids_of(const std::vector<RecipeStep>& steps) {
  std::vector<std::string> ids;
  for (const RecipeStep& step : steps) ids.push_back(step.id);
  return ids;
}

RecipeStep* find_step(std::vector<RecipeStep>& steps, const std::string& id) {
  const auto found = std::find_if(steps.begin(), steps.end(),
                                  [&](const RecipeStep& step) { return step.id == id; });
  return found == steps.end() ? nullptr : &*found;
}

// An empty text takes the option back.
void set_option(RecipeStep& step, const RecipeOption& option) {
  const auto same = [&](const RecipeOption& other) { return other.name == option.name; };
  const auto found = std::find_if(step.options.begin(), step.options.end(), same);
  const bool is_empty = !option.value.is_list && option.value.words.front().empty();
  if (found == step.options.end()) {
    if (!is_empty) step.options.push_back(option);
  } else if (is_empty) {
    step.options.erase(found);
  } else {
    *found = option;
  }
}

// Those like it follow, unless they say it themselves.
void set_with_followers(std::vector<RecipeStep>& steps, RecipeStep& step,
                        const RecipeOption& option) {
  set_option(step, option);
  for (RecipeStep& other : steps)
    if (other.like == step.id && !std::count(other.own.begin(), other.own.end(), option.name))
      set_with_followers(steps, other, option);
}

// One thing of a recipe gets a value: the words of the key between its dots.
void assign(Recipe& recipe, const std::vector<std::string>& key, const RecipeOption& what,
            ExitCode code) {
  const std::string where = to_string(what.place);
  if (key.size() == 1) {
    const std::string& word = key[0];
    if (!std::count(kWords.begin(), kWords.end(), word))
      fail(code, "{}: expected STAGE.OPTION or one of title, out, next, found \"{}\"{}", where,
           word, did_you_mean(word, kWords));
    (word == "title" ? recipe.title
     : word == "out" ? recipe.out
                     : recipe.next) = what.value.words.front();
    return;
  }
  const bool judged = key[0] == kJudge;
  if (judged && key.size() == 2) {
    for (RecipeStep& step : recipe.judges) set_option(step, what);
    return;
  }
  std::vector<RecipeStep>& steps = judged ? recipe.judges : recipe.stages;
  const std::string& id = key[judged ? 1 : 0];
  RecipeStep* step = find_step(steps, id);
  if (key.size() != (judged ? 3 : 2) || step == nullptr)
    fail(code, "{}: no {} \"{}\"{}\nhint: STAGE.OPTION, judge.OPTION or judge.ID.OPTION", where,
         judged ? "judge" : "stage", id, did_you_mean(id, ids_of(steps)));
  step->own.push_back(what.name);
  set_with_followers(steps, *step, what);
}

// A number as it is written: fmt prints the shortest text that reads back as the same double.
std::string read_word(const toml::node& node, const std::string& where) {
  if (node.is_string()) return node.as_string()->get();
  if (node.is_integer()) return std::to_string(node.as_integer()->get());
  if (node.is_boolean()) return node.as_boolean()->get() ? "true" : "false";
  CHECK(node.is_floating_point(), kInput,
        "{}: expected a text, a number, true or false, or a list of them", where);
  return fmt::format("{}", node.as_floating_point()->get());
}

RecipeValue read_value(const toml::node& node, const std::string& where) {
  if (!node.is_array()) return {{read_word(node, where)}, false, node.is_string()};
  RecipeValue list{{}, true, false};
  for (const toml::node& each : *node.as_array()) {
    list.words.push_back(read_word(each, where));
    list.is_text |= each.is_string();
  }
  CHECK(!list.words.empty(), kInput, "{}: expected a list with a value, found []", where);
  return list;
}

// Reads one TOML document into a recipe.
class Reader {
 public:
  Reader(Recipe& recipe, const std::string& file) : recipe_(recipe), file_(file) {}
  void read(const toml::table& table);

 private:
  RecipePlace place(const toml::node& node) const {
    return {file_, static_cast<int64_t>(node.source().begin.line)};
  }
  std::string text(const toml::node& node, const std::string& key) const;
  RecipeValue value(const toml::node& node) const {
    return read_value(node, to_string(place(node)));
  }
  const toml::array& array(const toml::node& node, const std::string& key) const;
  std::vector<std::string> texts(const toml::node& node, const std::string& key) const;
  RecipeStep step(const toml::node& node, std::vector<RecipeStep>& before, bool judged) const;
  void read_head(const toml::table& table);
  void read_seeds(const toml::node& node);
  void read_steps(const toml::table& table, const char* key, std::vector<RecipeStep>& steps);
  void read_comparisons(const toml::node& node);
  void drop(const toml::node& node);
  void set(const toml::table& table, std::vector<std::string>& key);
  void check_comparisons(const toml::table& table);

  Recipe& recipe_;
  std::string file_;
};

std::string Reader::text(const toml::node& node, const std::string& key) const {
  CHECK(node.is_string(), kInput, "{}: {}: expected a text in quotes", to_string(place(node)), key);
  return node.as_string()->get();
}

const toml::array& Reader::array(const toml::node& node, const std::string& key) const {
  CHECK(node.is_array(), kInput, "{}: {}: expected a list", to_string(place(node)), key);
  return *node.as_array();
}

std::vector<std::string> Reader::texts(const toml::node& node, const std::string& key) const {
  std::vector<std::string> all;
  for (const toml::node& each : array(node, key)) all.push_back(text(each, key));
  return all;
}

RecipeStep Reader::step(const toml::node& node, std::vector<RecipeStep>& before,
                        bool judged) const {
  CHECK(node.is_table(), kInput, "{}: expected [[{}]] with keys and values", to_string(place(node)),
        judged ? kJudge : "stage");
  RecipeStep step;
  step.place = place(node);
  if (judged) step.command = "evaluate";
  if (const toml::node* like = node.as_table()->get("like")) {
    step.like = text(*like, "like");
    const RecipeStep* same = find_step(before, step.like);
    CHECK(same != nullptr, kInput, "{}: like: no {} \"{}\" before it{}", to_string(place(*like)),
          judged ? kJudge : "stage", step.like, did_you_mean(step.like, ids_of(before)));
    step.command = same->command;
    step.options = same->options;
  }
  for (const auto& [key, each] : *node.as_table()) {
    const std::string name(key.str());
    if (name == "like") continue;
    if (name == "id") {
      step.id = text(each, name);
    } else if (name == "command" && !judged) {
      step.command = text(each, name);
    } else if (name == "heading" && !judged) {
      step.heading = text(each, name);
    } else if (name == "curves" && !judged) {
      CHECK(each.is_boolean(), kInput, "{}: curves: expected true or false",
            to_string(place(each)));
      step.curves = each.as_boolean()->get();
    } else {
      step.own.push_back(name);
      set_option(step, {name, value(each), place(each)});
    }
  }
  const std::string where = to_string(step.place);
  CHECK(!step.id.empty() &&
            step.id.find_first_not_of(judged ? kLetters : kLetters + 1) == std::string::npos,
        kInput, "{}: expected an id of letters, digits and - + _, found \"{}\"", where, step.id);
  CHECK(judged || !std::count(kTaken.begin(), kTaken.end(), step.id), kInput,
        "{}: the id \"{}\" is taken by the run itself", where, step.id);
  CHECK(!step.command.empty(), kInput, "{}: stage \"{}\" has no command", where, step.id);
  if (step.heading.empty()) step.heading = step.command;
  return step;
}

void Reader::read_steps(const toml::table& table, const char* key, std::vector<RecipeStep>& steps) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return;
  for (const toml::node& each : array(*node, key)) {
    RecipeStep next = step(each, steps, key == std::string(kJudge));
    const RecipeStep* same = find_step(steps, next.id);
    CHECK(same == nullptr, kInput, "{}: {} \"{}\" is there already, at {}", to_string(next.place),
          key, next.id, to_string(same->place));
    steps.push_back(std::move(next));
  }
}

void Reader::read_seeds(const toml::node& node) {
  recipe_.seeds.clear();
  for (const toml::node& each : array(node, "seeds")) {
    CHECK(each.is_integer() && each.as_integer()->get() >= 0, kInput,
          "{}: seeds: expected numbers from 0", to_string(place(each)));
    recipe_.seeds.push_back(static_cast<uint64_t>(each.as_integer()->get()));
  }
  CHECK(!recipe_.seeds.empty(), kInput, "{}: seeds: expected at least one", to_string(place(node)));
}

void Reader::read_comparisons(const toml::node& node) {
  recipe_.compare.clear();
  for (const toml::node& each : array(node, "compare")) {
    const std::vector<std::string> pair = texts(each, "compare");
    CHECK(pair.size() == 2, kInput, "{}: compare: expected pairs of ids, found {} words",
          to_string(place(each)), pair.size());
    recipe_.compare.emplace_back(pair[0], pair[1]);
  }
}

void Reader::read_head(const toml::table& table) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    CHECK(std::count(kKeys.begin(), kKeys.end(), name), kInput, "{}: unknown key \"{}\"{}",
          to_string(place(node)), name, did_you_mean(name, kKeys));
    if (name == "name") recipe_.name = text(node, name);
    if (name == "title") recipe_.title = text(node, name);
    if (name == "out") recipe_.out = text(node, name);
    if (name == "next") recipe_.next = text(node, name);
    if (name == "seeds") read_seeds(node);
    if (name == "arguments") recipe_.arguments = texts(node, name);
    if (name == "compare") read_comparisons(node);
  }
}

// Takes stages or judges of the recipe this one is like out again, with their comparisons.
void Reader::drop(const toml::node& node) {
  for (const std::string& id : texts(node, "drop")) {
    const auto named = [&](const RecipeStep& step) { return step.id == id; };
    const size_t gone = std::erase_if(recipe_.stages, named) + std::erase_if(recipe_.judges, named);
    std::vector<std::string> known = ids_of(recipe_.stages);
    for (const std::string& judge : ids_of(recipe_.judges)) known.push_back(judge);
    CHECK(gone > 0, kInput, "{}: drop: no stage or judge \"{}\"{}", to_string(place(node)), id,
          did_you_mean(id, known));
    std::erase_if(recipe_.compare,
                  [&](const auto& pair) { return pair.first == id || pair.second == id; });
  }
}

void Reader::set(const toml::table& table, std::vector<std::string>& key) {
  for (const auto& [name, node] : table) {
    key.emplace_back(name.str());
    if (node.is_table())
      set(*node.as_table(), key);
    else
      assign(recipe_, key, {key.back(), value(node), place(node)}, ExitCode::kInput);
    key.pop_back();
  }
}

void Reader::check_comparisons(const toml::table& table) {
  const toml::node* node = table.get("compare");
  const std::vector<std::string> known = ids_of(recipe_.judges);
  for (const auto& [first, second] : recipe_.compare)
    for (const std::string& id : {first, second})
      CHECK(std::count(known.begin(), known.end(), id), kInput,
            "{}: compare: nothing is judged as \"{}\"{}",
            to_string(node == nullptr ? recipe_.place : place(*node)), id, did_you_mean(id, known));
}

void Reader::read(const toml::table& table) {
  recipe_.place = {file_, 1};
  if (const toml::node* like = table.get("like")) {
    recipe_ = open_recipe(text(*like, "like"));
    recipe_.place = {file_, 1};
  }
  read_head(table);
  if (const toml::node* gone = table.get("drop")) drop(*gone);
  read_steps(table, "stage", recipe_.stages);
  read_steps(table, kJudge, recipe_.judges);
  if (const toml::node* changes = table.get("set")) {
    CHECK(changes->is_table(), kInput, "{}: set: expected tables [set.STAGE]",
          to_string(place(*changes)));
    std::vector<std::string> key;
    set(*changes->as_table(), key);
  }
  check_comparisons(table);
  CHECK(!recipe_.name.empty() && !recipe_.stages.empty(), kInput,
        "{}: expected a name and at least one [[stage]]", file_);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string quoted_list(const std::vector<std::string>& words, bool is_text = true) {
  std::string out;
  for (const std::string& word : words)
    out += (out.empty() ? "" : ", ") + (is_text ? quoted(word) : word);
  return "[" + out + "]";
}

void write_step(const RecipeStep& step, bool judged, std::string& out) {
  out += fmt::format("\n[[{}]]\nid = {}\n", judged ? "judge" : "stage", quoted(step.id));
  if (!judged) out += fmt::format("command = {}\n", quoted(step.command));
  if (!judged && step.heading != step.command)
    out += fmt::format("heading = {}\n", quoted(step.heading));
  if (step.curves) out += "curves = true\n";
  // In the order in which they are read back.
  std::map<std::string, const RecipeValue*> sorted;
  for (const RecipeOption& option : step.options) sorted[option.name] = &option.value;
  for (const auto& [name, option] : sorted) {
    const RecipeValue& value = *option;
    out += fmt::format("{} = {}\n", name,
                       value.is_list   ? quoted_list(value.words, value.is_text)
                       : value.is_text ? quoted(value.words.front())
                                       : value.words.front());
  }
}

toml::table parse(const std::string& text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    fail(ExitCode::kInput, "{}:{}: {}\nhint: recipes are TOML", file, error.source().begin.line,
         error.description());
  }
}

}  // namespace

std::string to_string(const RecipePlace& place) {
  return place.line > 0 ? fmt::format("{}:{}", place.file, place.line) : place.file;
}

const RecipeOption* RecipeStep::find(const std::string& option) const {
  for (const RecipeOption& each : options)
    if (each.name == option) return &each;
  return nullptr;
}

std::string RecipeStep::word(const std::string& option) const {
  const RecipeOption* found = find(option);
  return found == nullptr ? "" : found->value.words.front();
}

Recipe read_recipe(const std::string& text, const std::string& file) {
  Recipe recipe;
  Reader(recipe, file).read(parse(text, file));
  return recipe;
}

Recipe open_recipe(const std::string& name) {
  const FoundRecipe found = find_recipe(name);
  return read_recipe(found.text, found.file);
}

namespace {

// A value of the command line: what TOML reads, else a text as it stands.
RecipeValue word_or_value(const std::string& word) {
  try {
    const toml::table table = toml::parse("value = " + word);
    const toml::node* node = table.get("value");
    if (table.size() == 1 && (node->is_value() || node->is_array()) && !node->is_date() &&
        !node->is_date_time() && !node->is_time())
      return read_value(*node, "--set");
  } catch (const toml::parse_error&) {  // a word without quotes
  }
  return {{word}, false, true};
}

}  // namespace

void set_in_recipe(Recipe& recipe, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  CHECK(equals != std::string::npos && equals > 0, kUsage,
        "--set: expected KEY=VALUE, found \"{}\"", assignment);
  std::vector<std::string> key(1);
  for (const char c : assignment.substr(0, equals)) {
    if (c == '.')
      key.emplace_back();
    else
      key.back() += c;
  }
  assign(recipe, key,
         {key.back(), word_or_value(assignment.substr(equals + 1)), {"--set " + assignment, 0}},
         ExitCode::kUsage);
}

void give_arguments(Recipe& recipe, const std::vector<std::string>& words) {
  std::string names;
  for (const std::string& name : recipe.arguments) names += " " + name;
  CHECK(words.size() == recipe.arguments.size(), kUsage,
        "recipe {}: expected {} after its name, found {} words", recipe.name,
        names.empty() ? "nothing" : "the words" + names, words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string value =
        fs::exists(words[i]) ? fs::absolute(words[i]).lexically_normal().string() : words[i];
    const std::string sign = "{" + recipe.arguments[i] + "}";
    recipe.given.emplace_back(recipe.arguments[i], value);
    if (const size_t at = recipe.next.find(sign); at != std::string::npos)
      recipe.next.replace(at, sign.size(), words[i]);
    for (std::vector<RecipeStep>* steps : {&recipe.stages, &recipe.judges})
      for (RecipeStep& step : *steps)
        for (RecipeOption& option : step.options)
          for (std::string& word : option.value.words)
            if (const size_t at = word.find(sign); at != std::string::npos)
              word.replace(at, sign.size(), value);
  }
}

std::string to_toml(const Recipe& recipe, const std::vector<std::string>& comments) {
  std::string out;
  for (const std::string& comment : comments) out += fmt::format("# {}\n", comment);
  out += fmt::format("name = {}\ntitle = {}\nout = {}\nseeds = [{}]\nnext = {}\n",
                     quoted(recipe.name), quoted(recipe.title), quoted(recipe.out),
                     fmt::join(recipe.seeds, ", "), quoted(recipe.next));
  out += "compare = [\n";
  for (const auto& [first, second] : recipe.compare)
    out += "  " + quoted_list({first, second}) + ",\n";
  out += "]\n";
  for (const RecipeStep& stage : recipe.stages) write_step(stage, false, out);
  for (const RecipeStep& judge : recipe.judges) write_step(judge, true, out);
  return out;
}

}  // namespace etrlrec
