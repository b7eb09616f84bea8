// Recipes: what is refused and where, which stages a change makes new, and what a run folder keeps.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/split.h"
#include "data/synthetic.h"
#include "eval/predictions.h"
#include "method/recipe_plan.h"
#include "method/recipe_run.h"
#include "method/recipe_texts.h"

namespace etrlrec {
namespace {

constexpr const char* kSmall = R"(name = "small"
title = "Two arms"
compare = [["second", "first"]]
[[stage]]
id = "data"
command = "prepare"
users = 30
[[stage]]
id = "first"
command = "fit"
data = "@data"
rows = 5
[[stage]]
id = "second"
command = "fit"
data = "@data"
[[stage]]
id = "third"
command = "fit"
data = "@data"
model = "@second/sasrec"
[[judge]]
id = "first"
model = "@first"
[[judge]]
id = "second"
model = "@third"
)";

// Three commands that note what they were asked and leave what a run needs.
class FakeProgram {
 public:
  ProgramCommands commands() {
    return {{"prepare", "fit", "evaluate"},
            [](const std::string&) {
              return std::vector<std::string>{"data", "rows", "model", "users", "name", "out"};
            },
            [](const std::vector<std::string>& words) {
              return words.back() == "--rows=many" ? "--rows: expected a number" : "";
            },
            [](const std::vector<std::string>& words) {
              const bool idle = words.size() > 2 && words.back() == "--rows=0";
              return idle ? "--rows: only with a model" : "";
            },
            [this](const std::vector<std::string>& words, const fs::path& printed) {
              call(words, printed);
            }};
  }
  std::vector<std::string> called;  // names of the folders that were filled
  std::string fails_at;

 private:
  void call(const std::vector<std::string>& words, const fs::path& printed) {
    fs::path out;
    for (const std::string& word : words)
      if (word.starts_with("--out=")) out = word.substr(6);
    called.push_back(out.filename());
    fs::create_directories(out);
    write_file_atomic(out / "part", "half");
    CHECK(out.filename() != fails_at, kResumable, "killed");
    if (words[0] == "prepare") {
      const Dataset dataset = make_world({.users = 40, .items = 60}).dataset;
      save_dataset(dataset, split_dataset(dataset, {}), out);
    }
    if (words[0] == "evaluate") {
      Predictions predictions{"model", "fit", "score", "hash", 4, 42, {}};
      predictions.rows.resize(20);
      for (int32_t row = 0; row < 20; ++row) {
        Prediction& prediction = predictions.rows[static_cast<size_t>(row)];
        prediction.row = prediction.user = row;
        prediction.rank = 2;
      }
      save_predictions(predictions, out / "predictions.jsonl");
    }
    write_file_atomic(printed, R"({"seconds": 2, "tokens": 100})");
  }
};

class Recipes : public testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    fs::remove_all(out_);
  }
  void TearDown() override { fs::remove_all(out_); }
  Recipe small() const {
    Recipe recipe = read_recipe(kSmall, "small.toml");
    recipe.out = out_;
    return recipe;
  }
  std::vector<RecipeCall> plan(const Recipe& recipe) {
    return plan_recipe(recipe, program_.commands(), {out_, 42, "float32"});
  }
  // What reading and planning a text says.
  std::string refusal(const std::string& text, ExitCode code = ExitCode::kInput) {
    try {
      plan(read_recipe(text, "x.toml"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    return "";
  }
  // kSmall with one piece replaced.
  static std::string with(const std::string& from, const std::string& to) {
    std::string text = kSmall;
    return text.replace(text.find(from), from.size(), to);
  }
  // The stages whose keys differ.
  std::set<std::string> changed(const Recipe& before, const Recipe& after) {
    const auto a = plan(before), b = plan(after);
    std::set<std::string> names;
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i].key != b[i].key) names.insert((a[i].judged ? "judge " : "") + a[i].step->id);
    return names;
  }
  void run(const Recipe& recipe) {
    program_.called.clear();
    testing::internal::CaptureStdout();
    const auto end = [] { return testing::internal::GetCapturedStdout(); };
    try {
      run_recipe(recipe, program_.commands(), {});
    } catch (...) {
      printed_ = end();
      throw;
    }
    printed_ = end();
  }
  std::string refused_run(const Recipe& recipe) {
    try {
      run(recipe);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  FakeProgram program_;
  std::string printed_;
  const fs::path out_ = fs::path(testing::TempDir()) / "recipe_run";
};

using Names = std::vector<std::string>;

TEST_F(Recipes, refusals_name_file_line_and_the_nearest_word) {
  const auto expect = [](const std::string& text, const Names& parts) {
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " in:\n" << text;
  };
  expect(refusal("name = "), {"x.toml:1: ", "TOML"});
  expect(refusal(with("title", "titel")), {"x.toml:2: unknown key \"titel\"", "\"title\"?"});
  expect(refusal(with("rows", "rowz")),
         {"x.toml:12: first: unknown option \"rowz\" of fit", "did you mean \"rows\"?"});
  expect(refusal(with("rows = 5", "rows = \"many\"")), {"x.toml:12: ", "expected a number"});
  expect(refusal(with("rows = 5", "rows = 0")), {"x.toml:8: first: --rows: only with a model"});
  expect(refusal(with("\"fit\"", "\"fti\"")),
         {"x.toml:8: stage \"first\": unknown command \"fti\"", "\"fit\"?"});
  expect(refusal(with("@data", "@dta")), {"x.toml:11: ", "no stage \"dta\"", "\"data\"?"});
  expect(refusal(with("users = 30", "model = \"@third\"")),
         {"wait for each other", "x.toml:4: data waits for third"});
  expect(refusal(with("id = \"second\"", "id = \"first\"")),
         {"x.toml:13: stage \"first\" is there already, at x.toml:8"});
  expect(refusal(with("id = \"second\"", "id = \"predictions\"")), {"taken by the run"});
  expect(refusal(with("id = \"second\"", "id = \"a/b\"")), {"expected an id of letters"});
  expect(refusal(with("[[\"second\"", "[[\"secnd\"")), {"x.toml:3: compare", "\"second\"?"});
  expect(refusal(with("rows = 5", "rows = []")), {"x.toml:12: ", "found []"});
  expect(refusal(with("rows = 5", "out = \"x\"")), {"unknown option \"out\""});
  expect(refusal("like = \"demmo\"", ExitCode::kUsage), {"\"demmo\"", "\"demo\"?"});
  EXPECT_EQ(refusal(kSmall), "");
}

TEST_F(Recipes, settings_change_one_option_or_say_what_exists) {
  Recipe recipe = small();
  set_in_recipe(recipe, "first.rows=7");
  set_in_recipe(recipe, "second.rows=1e-3");
  set_in_recipe(recipe, "data.users=");
  set_in_recipe(recipe, "judge.name=global-time");
  set_in_recipe(recipe, "judge.second.name=[\"a\", \"b\"]");
  set_in_recipe(recipe, "title=Short");
  EXPECT_EQ(recipe.stages[1].word("rows"), "7");
  EXPECT_EQ(recipe.stages[2].word("rows"), "0.001");
  EXPECT_EQ(recipe.stages[0].find("users"), nullptr);
  EXPECT_EQ(recipe.judges[0].word("name"), "global-time");
  EXPECT_EQ(recipe.judges[1].find("name")->value.words, (Names{"a", "b"}));
  EXPECT_EQ(recipe.title, "Short");
  const auto refused = [&](const std::string& setting) {
    try {
      set_in_recipe(recipe, setting);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refused("frist.rows=1").find("did you mean \"first\"?"), std::string::npos);
  EXPECT_NE(refused("titel=1").find("did you mean \"title\"?"), std::string::npos);
  EXPECT_NE(refused("judge.x.rows=1").find("no judge \"x\""), std::string::npos);
  EXPECT_NE(refused("rows").find("KEY=VALUE"), std::string::npos);
}

TEST_F(Recipes, a_step_like_another_has_its_options_but_those_that_it_says_itself) {
  const std::string text = std::string(kSmall) + R"([[stage]]
id = "fourth"
like = "first"
heading = "again"
model = "sasrec"
[[stage]]
id = "fifth"
like = "fourth"
rows = ""
[[judge]]
id = "again"
like = "first"
name = "again"
)";
  Recipe recipe = read_recipe(text, "x.toml");
  const RecipeStep &fourth = recipe.stages[4], &fifth = recipe.stages[5];
  EXPECT_EQ(fourth.command, "fit");
  EXPECT_EQ(fourth.heading, "again");
  EXPECT_EQ(fifth.heading, "fit");
  EXPECT_EQ(fourth.word("data") + fourth.word("rows") + fourth.word("model"), "@data5sasrec");
  EXPECT_EQ(fifth.word("data") + fifth.word("rows") + fifth.word("model"), "@datasasrec");
  EXPECT_EQ(recipe.judges[2].word("model"), "@first");
  // What is set later reaches those that do not say it themselves.
  set_in_recipe(recipe, "first.rows=7");
  set_in_recipe(recipe, "first.model=markov");
  set_in_recipe(recipe, "first.name=one");
  EXPECT_EQ(fourth.word("rows") + fourth.word("model") + fourth.word("name"), "7sasrecone");
  EXPECT_EQ(fifth.word("rows") + fifth.word("model") + fifth.word("name"), "sasrecone");
  set_in_recipe(recipe, "fourth.rows=8");
  set_in_recipe(recipe, "first.rows=9");
  set_in_recipe(recipe, "first.data=");
  EXPECT_EQ(fourth.word("rows") + fourth.word("data"), "8");
  EXPECT_EQ(fifth.find("data"), nullptr);
  // What is written down says the same without the word.
  EXPECT_TRUE(changed(recipe, read_recipe(to_toml(recipe), "copy.toml")).empty());
  EXPECT_NE(refusal(with("rows = 5", "like = \"secnd\"")).find("x.toml:12: like: no stage"),
            std::string::npos);
  EXPECT_NE(refusal(with("rows = 5", "like = \"second\"")).find("before it"), std::string::npos);
}

TEST_F(Recipes, a_written_recipe_reads_back_as_the_same) {
  Recipe recipe = small();
  set_in_recipe(recipe, "title=a \"b\" \\ c");
  set_in_recipe(recipe, "first.name=[\"x, y\", \"z\"]");
  set_in_recipe(recipe, "second.rows=true");
  const std::string text = to_toml(recipe, {"why"});
  EXPECT_TRUE(text.starts_with("# why\n"));
  EXPECT_EQ(to_toml(read_recipe(text, "copy.toml"), {"why"}), text);
  EXPECT_TRUE(changed(recipe, read_recipe(text, "copy.toml")).empty());
}

TEST_F(Recipes, every_recipe_of_the_program_can_be_read) {
  for (const RecipeText& text : recipe_texts()) {
    const Recipe recipe = read_recipe(text.text, text.name);
    EXPECT_FALSE(recipe.stages.empty()) << text.name;
    EXPECT_FALSE(recipe.judges.empty()) << text.name;
    EXPECT_FALSE(recipe.out.empty()) << text.name;
    EXPECT_GT(recipe_summary(text).size(), 20) << text.name;
  }
}

TEST_F(Recipes, are_listed_in_two_columns) {
  const std::string list = format_recipes();
  size_t begin = 0, column = 0;
  for (const RecipeText& text : recipe_texts()) {
    const std::string line = list.substr(begin, list.find('\n', begin) - begin);
    EXPECT_TRUE(line.starts_with(std::string(text.name) + "  ")) << line;
    EXPECT_TRUE(line.ends_with("  " + recipe_summary(text))) << line;
    const size_t where = line.size() - recipe_summary(text).size();
    if (begin == 0) column = where;
    EXPECT_EQ(where, column) << line;
    begin += line.size() + 1;
  }
  EXPECT_EQ(begin, list.size());
}

TEST_F(Recipes, words_go_where_the_recipe_wants_them) {
  Recipe recipe = read_recipe(find_recipe("steam").text, "steam.toml");
  EXPECT_THROW(give_arguments(recipe, {}), Error);
  give_arguments(recipe, {"no/such/folder"});
  EXPECT_EQ(recipe.stages[0].word("items"), "no/such/folder/items.tsv.gz");
  recipe = read_recipe(find_recipe("delrec").text, "delrec.toml");
  give_arguments(recipe, {"a/log", "a/model"});
  EXPECT_NE(recipe.next.find("recommend --data a/log --model {out}/"), std::string::npos)
      << recipe.next;
}

TEST_F(Recipes, only_some_rows_need_only_their_stages) {
  const auto ids = [](const std::vector<RecipeStep>& steps) {
    Names names;
    for (const RecipeStep& step : steps) names.push_back(step.id);
    return names;
  };
  Recipe first = small(), second = small(), both = small();
  keep_only({"first"}, first);
  EXPECT_EQ(ids(first.stages), (Names{"data", "first"}));
  EXPECT_EQ(ids(first.judges), Names{"first"});
  EXPECT_TRUE(first.compare.empty());
  keep_only({"second"}, second);
  EXPECT_EQ(ids(second.stages), (Names{"data", "second", "third"}));
  keep_only({"second", "first"}, both);
  EXPECT_EQ(ids(both.stages), ids(small().stages));
  EXPECT_EQ(both.compare, small().compare);
  // What is left has the keys that it has in the whole recipe.
  std::map<std::string, std::string> whole;
  const Recipe all = small();
  for (const RecipeCall& call : plan(all))
    whole[call.step->id + (call.judged ? " judged" : "")] = call.key;
  for (const RecipeCall& call : plan(second))
    EXPECT_EQ(call.key, whole.at(call.step->id + (call.judged ? " judged" : "")));
  try {
    keep_only({"frist"}, both);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("did you mean \"first\"?"), std::string::npos);
  }
}

TEST_F(Recipes, a_change_makes_exactly_what_depends_on_it_new) {
  const auto with_setting = [&](const std::string& setting) {
    Recipe recipe = small();
    set_in_recipe(recipe, setting);
    return changed(small(), recipe);
  };
  using Set = std::set<std::string>;
  EXPECT_EQ(with_setting("first.rows=6"), (Set{"first", "judge first"}));
  EXPECT_EQ(with_setting("second.rows=6"), (Set{"second", "third", "judge second"}));
  EXPECT_EQ(with_setting("judge.second.name=x"), (Set{"judge second"}));
  EXPECT_EQ(with_setting("title=x"), Set{});
  EXPECT_EQ(with_setting("data.users=31"),
            (Set{"data", "first", "second", "third", "judge first", "judge second"}));
}

TEST_F(Recipes, a_file_from_outside_counts_by_its_content) {
  fs::create_directories(out_);
  const fs::path a = out_ / "a.csv", b = out_ / "b.csv";
  const auto with_file = [&](const fs::path& path) {
    Recipe recipe = small();
    set_in_recipe(recipe, "first.name=" + path.string());
    return recipe;
  };
  write_file_atomic(a, "1");
  write_file_atomic(b, "1");
  EXPECT_TRUE(changed(with_file(a), with_file(b)).empty());
  write_file_atomic(b, "2");
  EXPECT_EQ(changed(with_file(a), with_file(b)), (std::set<std::string>{"first", "judge first"}));
}

TEST_F(Recipes, stages_run_in_an_order_in_which_inputs_come_first) {
  const Recipe recipe =
      read_recipe(with("data = \"@data\"\nrows = 5", "data = \"@third\""), "x.toml");
  const auto calls = plan(recipe);
  Names order;
  for (const RecipeCall& call : calls) order.push_back(call.step->id);
  EXPECT_EQ(order, (Names{"data", "second", "third", "first", "first", "second"}));
}

TEST_F(Recipes, a_finished_run_is_taken_as_it_is_and_a_changed_arm_made_again) {
  run(small());
  EXPECT_EQ(program_.called, (Names{"data", "first", ".first", "second", "third", ".second"}));
  const Json summary = read_json(out_ / "summary.json");
  EXPECT_EQ(summary["rows"][1]["id"], "second");
  EXPECT_EQ(summary["rows"][1]["tokens"], 200);  // of third, and of second, which it starts from
  EXPECT_NE(printed_.find("report: "), std::string::npos);
  run(small());
  EXPECT_EQ(program_.called, Names{});
  Recipe other = small();
  set_in_recipe(other, "second.rows=9");
  run(other);
  EXPECT_EQ(program_.called, (Names{"second", "third", ".second"}));
  // The recipe that was run is there, and runs as it is.
  run(read_recipe(read_file(out_ / "recipe.toml"), out_ / "recipe.toml"));
  EXPECT_EQ(program_.called, Names{});
}

TEST_F(Recipes, an_interrupted_stage_goes_on_in_its_folder) {
  program_.fails_at = "second";
  EXPECT_EQ(refused_run(small()), "killed");
  EXPECT_EQ(program_.called, (Names{"data", "first", ".first", "second"}));
  write_file_atomic(out_ / "second" / "checkpoint", "");
  program_.fails_at.clear();
  run(small());
  EXPECT_EQ(program_.called, (Names{"second", "third", ".second"}));
  EXPECT_TRUE(fs::exists(out_ / "second" / "checkpoint"));
  // With another option nothing of the interrupted attempt may stay.
  program_.fails_at = "third";
  Recipe other = small();
  set_in_recipe(other, "second.rows=9");
  EXPECT_EQ(refused_run(other), "killed");
  EXPECT_FALSE(fs::exists(out_ / "second" / "checkpoint"));
}

TEST_F(Recipes, a_run_folder_belongs_to_one_recipe_seed_and_arithmetic) {
  run(small());
  Recipe other = small();
  other.name = "large";
  other.seeds = {43};
  const std::string text = refused_run(other);
  EXPECT_NE(text.find("command: expected \"large\", found \"small\""), std::string::npos) << text;
  EXPECT_NE(text.find("seed: expected \"43\", found \"42\""), std::string::npos) << text;
}

TEST_F(Recipes, a_folder_that_no_run_made_is_not_touched) {
  fs::create_directories(out_ / "first");
  write_file_atomic(out_ / "first" / "mine", "");
  EXPECT_NE(refused_run(small()).find("not from a run of this recipe"), std::string::npos);
  EXPECT_TRUE(fs::exists(out_ / "first" / "mine"));
}

TEST_F(Recipes, several_seeds_have_a_folder_each_and_a_table_of_means) {
  Recipe recipe = small();
  recipe.seeds = {1, 2};
  run(recipe);
  EXPECT_TRUE(fs::exists(out_ / "seed-1" / "report.html"));
  EXPECT_TRUE(fs::exists(out_ / "seed-2" / "report.html"));
  const Json rows = read_json(out_ / "summary.json")["rows"];
  EXPECT_EQ(rows[0]["id"], "first");
  EXPECT_EQ(rows[0]["hit@5"], 1.0);
  EXPECT_NE(printed_.find("over seeds"), std::string::npos);
}

}  // namespace
}  // namespace etrlrec
