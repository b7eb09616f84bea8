#include "method/recipe_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/nearest_word.h"
#include "base/sha256.h"
#include "method/run_record.h"

namespace etrlrec {
namespace {

constexpr uintmax_t kReadToCompare = uintmax_t{1} << 28;  // bytes; larger files count by their time

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Content of a file; of a very large one size and time of its last change.
std::string fingerprint_of_file(const fs::path& path) {
  const uintmax_t size = fs::file_size(path);
  if (size <= kReadToCompare) return size == 0 ? "empty" : sha256_file(path);
  return fmt::format("{} bytes of {}", size, fs::last_write_time(path).time_since_epoch().count());
}

std::string fingerprint(const fs::path& path) {
  if (fs::is_regular_file(path)) return fingerprint_of_file(path);
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (entry.is_regular_file())
      files[entry.path().filename().string()] = fingerprint_of_file(entry.path());
  return sha256_hex(Json(files).dump());
}

class Planner {
 public:
  Planner(const Recipe& recipe, const ProgramCommands& commands, const RecipeSettings& settings)
      : recipe_(recipe), commands_(commands), settings_(settings) {
    for (const RecipeStep& stage : recipe.stages) ids_.push_back(stage.id);
  }
  std::vector<RecipeCall> plan();

 private:
  RecipeCall call(const RecipeStep& step, bool judged) const;
  void check_step(const RecipeStep& step) const;
  void check_value(const RecipeStep& step, const RecipeOption& option) const;
  void add_in_order(std::vector<RecipeCall> stages);
  std::string key_of(const RecipeCall& call) const;
  std::string word_for_key(const std::string& word) const;

  const Recipe& recipe_;
  const ProgramCommands& commands_;
  const RecipeSettings& settings_;
  std::vector<std::string> ids_;  // of stages
  std::vector<RecipeCall> calls_;
  std::map<std::string, std::string> keys_;  // of the stages in calls_
};

void Planner::check_value(const RecipeStep& step, const RecipeOption& option) const {
  bool is_reference = false;
  for (const std::string& word : option.value.words) {
    const std::string stage = referenced_stage(word);
    is_reference |= !stage.empty();
    CHECK(stage.empty() || contains(ids_, stage), kInput, "{}: {}: {}: no stage \"{}\"{}",
          to_string(option.place), step.id, option.name, stage, did_you_mean(stage, ids_));
  }
  if (is_reference) return;
  std::vector<std::string> words = {step.command};
  for (const std::string& word : option.value.words)
    words.push_back(fmt::format("--{}={}", option.name, word));
  const std::string complaint = commands_.complaint(words);
  CHECK(complaint.empty(), kInput, "{}: {}: {}\nhint: etrlrec {} --help", to_string(option.place),
        step.id, complaint, step.command);
}

void Planner::check_step(const RecipeStep& step) const {
  CHECK(contains(commands_.names, step.command), kInput,
        "{}: stage \"{}\": unknown command \"{}\"{}\nhint: etrlrec --help lists the commands",
        to_string(step.place), step.id, step.command, did_you_mean(step.command, commands_.names));
  const std::vector<std::string> known = commands_.options(step.command);
  CHECK(contains(known, "out"), kInput, "{}: stage \"{}\": {} fills no folder",
        to_string(step.place), step.id, step.command);
  for (const RecipeOption& option : step.options) {
    CHECK(contains(known, option.name) && option.name != "out", kInput,
          "{}: {}: unknown option \"{}\" of {}{}\nhint: etrlrec {} --help lists the options",
          to_string(option.place), step.id, option.name, step.command,
          did_you_mean(option.name, known), step.command);
    check_value(step, option);
  }
  std::vector<std::string> words = {step.command};  // "." stands for a folder that is not there yet
  for (const RecipeOption& option : step.options)
    for (const std::string& word : option.value.words)
      words.push_back(
          fmt::format("--{}={}", option.name, referenced_stage(word).empty() ? word : "."));
  const std::string idle = commands_.without_effect(words);
  CHECK(idle.empty(), kInput, "{}: {}: {}\nhint: etrlrec {} --help", to_string(step.place), step.id,
        idle, step.command);
}

RecipeCall Planner::call(const RecipeStep& step, bool judged) const {
  check_step(step);
  RecipeCall call{&step, judged, {}, {step.command}, ""};
  const auto add = [&](const std::string& name, const std::string& word) {
    const std::string stage = referenced_stage(word);
    if (!stage.empty() && !contains(call.inputs, stage)) call.inputs.push_back(stage);
    call.words.push_back(fmt::format("--{}={}", name, resolve_reference(word, settings_.out)));
  };
  for (const RecipeOption& option : step.options)
    for (const std::string& word : option.value.words) add(option.name, word);
  if (judged && step.find("data") == nullptr) {
    CHECK(contains(ids_, "data"), kInput, "{}: {}: expected data = a data set folder",
          to_string(step.place), step.id);
    add("data", "@data");
  }
  if (step.find("seed") == nullptr) add("seed", std::to_string(settings_.seed));
  return call;
}

// A word that names a file or folder counts by what is in it, wherever it lies.
std::string Planner::word_for_key(const std::string& word) const {
  const std::string stage = referenced_stage(word);
  if (!stage.empty()) return keys_.at(stage) + word.substr(1 + stage.size());
  const bool is_path = word.find('/') != std::string::npos || word.find('.') != std::string::npos;
  std::error_code unreadable;  // e.g. a text that is too long for a name
  return is_path && fs::exists(word, unreadable) ? fingerprint(word) : word;
}

std::string Planner::key_of(const RecipeCall& call) const {
  Json options = Json::object();
  for (const RecipeOption& option : call.step->options)
    for (const std::string& word : option.value.words)
      options[option.name].push_back(word_for_key(word));
  if (call.judged && !options.contains("data")) options["data"] = {keys_.at("data")};
  return sha256_hex(Json{
      {"version", kVersion},
      {"command", call.step->command},
      {"seed", settings_.seed},
      {"arithmetic", settings_.arithmetic},
      {"options",
       options}}.dump());
}

// Of the stages whose inputs are planned the first one is next, so that the order of the recipe
// stays where it can.
void Planner::add_in_order(std::vector<RecipeCall> stages) {
  while (!stages.empty()) {
    const auto is_ready = [&](const RecipeCall& call) {
      return std::all_of(call.inputs.begin(), call.inputs.end(),
                         [&](const std::string& id) { return keys_.contains(id); });
    };
    const auto next = std::find_if(stages.begin(), stages.end(), is_ready);
    if (next == stages.end()) {
      std::string waiting;
      for (const RecipeCall& call : stages)
        waiting += fmt::format("\n  {}: {} waits for {}", to_string(call.step->place),
                               call.step->id, fmt::join(call.inputs, ", "));
      fail(ExitCode::kInput, "{}: stages wait for each other:{}", to_string(recipe_.place),
           waiting);
    }
    next->key = key_of(*next);
    keys_[next->step->id] = next->key;
    calls_.push_back(std::move(*next));
    stages.erase(next);
  }
}

std::vector<RecipeCall> Planner::plan() {
  std::vector<RecipeCall> stages;
  for (const RecipeStep& stage : recipe_.stages) stages.push_back(call(stage, false));
  std::vector<RecipeCall> judges;
  for (const RecipeStep& judge : recipe_.judges) judges.push_back(call(judge, true));
  add_in_order(std::move(stages));
  for (RecipeCall& judge : judges) {
    judge.key = key_of(judge);
    calls_.push_back(std::move(judge));
  }
  return std::move(calls_);
}

}  // namespace

void keep_only(const std::vector<std::string>& judged, Recipe& recipe) {
  std::vector<std::string> known;
  for (const RecipeStep& judge : recipe.judges) known.push_back(judge.id);
  for (const std::string& id : judged)
    CHECK(contains(known, id), kUsage, "--only: nothing is judged as \"{}\"{}\nhint: one of {}", id,
          did_you_mean(id, known), fmt::join(known, ", "));
  const auto is_left_out = [&](const std::string& id) { return !contains(judged, id); };
  std::erase_if(recipe.judges, [&](const RecipeStep& judge) { return is_left_out(judge.id); });
  std::erase_if(recipe.compare, [&](const auto& pair) {
    return is_left_out(pair.first) || is_left_out(pair.second);
  });
  std::vector<std::string> needed = {"data"};  // what is judged reads it, named or not
  const auto need_inputs_of = [&](const RecipeStep& step) {
    for (const RecipeOption& option : step.options)
      for (const std::string& word : option.value.words)
        if (const std::string stage = referenced_stage(word);
            !stage.empty() && !contains(needed, stage))
          needed.push_back(stage);
  };
  for (const RecipeStep& judge : recipe.judges) need_inputs_of(judge);
  for (size_t i = 0; i < needed.size(); ++i) {
    const std::string id = needed[i];
    for (const RecipeStep& stage : recipe.stages)
      if (stage.id == id) need_inputs_of(stage);
  }
  std::erase_if(recipe.stages,
                [&](const RecipeStep& stage) { return !contains(needed, stage.id); });
}

std::string referenced_stage(const std::string& word) {
  return word.starts_with("@") ? word.substr(1, word.find('/') - 1) : "";
}

std::string resolve_reference(const std::string& word, const fs::path& out) {
  return word.starts_with("@") ? (out / word.substr(1)).string() : word;
}

std::vector<RecipeCall> plan_recipe(const Recipe& recipe, const ProgramCommands& commands,
                                    const RecipeSettings& settings) {
  return Planner(recipe, commands, settings).plan();
}

}  // namespace etrlrec
