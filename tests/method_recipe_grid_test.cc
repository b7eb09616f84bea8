// Ablations of a recipe: which cells there are, what they share, and the table of all.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/split.h"
#include "data/synthetic.h"
#include "method/recipe_grid.h"

namespace etrlrec {
namespace {

constexpr const char* kRecipe = R"(name = "small"
title = "Two arms"
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
rows = 7
[[judge]]
id = "of-first"
model = "@first"
[[judge]]
id = "of-second"
model = "@second"
)";

// `fit` keeps its rows; a model of so many rows is right about the first so many of 20, and of
// those that stand behind a seed of 43 about one more.
class GridProgram {
 public:
  ProgramCommands commands() {
    return {{"prepare", "fit", "evaluate"},
            [](const std::string&) {
              return std::vector<std::string>{"data", "rows", "model", "users", "name", "out"};
            },
            [](const std::vector<std::string>& words) {
              return words.back() == "--rows=many" ? "--rows: expected a number" : "";
            },
            [](const std::vector<std::string>&) { return std::string(); },
            [this](const std::vector<std::string>& words, const fs::path& printed) {
              call(words, printed);
            }};
  }
  std::vector<std::string> called;  // command and folder
  std::string fails_at;             // the rows of a fit

 private:
  void call(const std::vector<std::string>& words, const fs::path& printed) {
    std::map<std::string, std::string> options;
    for (const std::string& word : words)
      if (const size_t equals = word.find('='); equals != std::string::npos)
        options[word.substr(0, equals)] = word.substr(equals + 1);
    const fs::path out = options["--out"];
    called.push_back(words[0] + " " + out.filename().string());
    fs::create_directories(out);
    CHECK(fails_at.empty() || options["--rows"] != fails_at, kResumable, "killed");
    if (words[0] == "prepare") {
      const Dataset dataset = make_world({.users = 40, .items = 60}).dataset;
      save_dataset(dataset, split_dataset(dataset, {}), out);
    }
    if (words[0] == "fit") write_file_atomic(out / "rows", options["--rows"]);
    if (words[0] == "evaluate") evaluate(options, out);
    write_file_atomic(printed, R"({"seconds": 2})");
    write_file_atomic(out / "run.json", "{}");
  }
  static void evaluate(std::map<std::string, std::string>& options, const fs::path& out) {
    const int32_t hits = std::stoi(read_file(fs::path(options["--model"]) / "rows")) +
                         (options["--seed"] == "43" ? 1 : 0);
    Predictions predictions{"model|x", "fit", "score", "hash", 4, 42, {}};
    predictions.rows.resize(20);
    for (int32_t row = 0; row < 20; ++row) {
      Prediction& prediction = predictions.rows[static_cast<size_t>(row)];
      prediction.row = prediction.user = row;
      prediction.rank = row < hits ? 1 : 2;
    }
    save_predictions(predictions, out / "predictions.jsonl");
  }
};

class RecipeGrid : public testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    fs::remove_all(out_);
  }
  void TearDown() override { fs::remove_all(out_); }
  Recipe recipe() const {
    Recipe recipe = read_recipe(kRecipe, "small.toml");
    recipe.out = out_;
    return recipe;
  }
  void run(const Recipe& recipe, const std::vector<std::string>& ablations) {
    program_.called.clear();
    testing::internal::CaptureStdout();
    try {
      run_grid(recipe, ablations, program_.commands(), {});
    } catch (...) {
      printed_ = testing::internal::GetCapturedStdout();
      throw;
    }
    printed_ = testing::internal::GetCapturedStdout();
  }
  static std::vector<std::string> ids(const std::vector<GridCell>& cells) {
    std::vector<std::string> all;
    for (const GridCell& cell : cells) all.push_back(cell.id);
    return all;
  }
  ExitCode refusal(const std::vector<std::string>& ablations) const {
    try {
      plan_grid(recipe(), ablations);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::kFailure;
  }

  const fs::path out_ = fs::temp_directory_path() / fmt::format("etrlrec_grid_{}", ::getpid());
  GridProgram program_;
  std::string printed_;
};

TEST_F(RecipeGrid, changes_one_thing_at_a_time) {
  const auto cells = plan_grid(recipe(), {"first.rows=6,9", "second.rows=8"});
  EXPECT_EQ(ids(cells),
            (std::vector<std::string>{"base", "first.rows=6", "first.rows=9", "second.rows=8"}));
  const auto rows = [&](size_t cell, size_t stage) {
    return cells[cell].recipe.stages[stage].word("rows");
  };
  EXPECT_EQ(rows(0, 1) + rows(0, 2), "57");
  EXPECT_EQ(rows(1, 1) + rows(1, 2), "67");
  EXPECT_EQ(rows(2, 1) + rows(2, 2), "97");
  EXPECT_EQ(rows(3, 1) + rows(3, 2), "58");
  EXPECT_EQ(fs::path(cells[2].recipe.out), out_ / "first.rows=9");
  EXPECT_EQ(fs::path(cells[0].recipe.out), out_ / "base");
  EXPECT_EQ(ids(plan_grid(recipe(), {R"(first.name=["a", "b"],"c,d",e)"})),
            (std::vector<std::string>{"base", R"(first.name=["a", "b"])", R"(first.name="c,d")",
                                      "first.name=e"}));
}

TEST_F(RecipeGrid, refuses_what_is_no_cell) {
  for (const char* ablation : {"first.rows", "=1", "first.rows=", "first.rows=1,,2", "frist.rows=1",
                               "first.rows=1,1", "first.name=a/b,a b"})
    EXPECT_EQ(refusal({ablation}), ExitCode::kUsage) << ablation;
  EXPECT_EQ(refusal({"first.rows=6", "first.rows=6"}), ExitCode::kUsage);
  // A value that a command refuses: before anything is done.
  EXPECT_THROW(run(recipe(), {"second.rows=8,many"}), Error);
  EXPECT_TRUE(program_.called.empty());
}

TEST_F(RecipeGrid, runs_what_differs_and_tells_every_change_from_the_base) {
  run(recipe(), {"first.rows=15", "second.rows=3"});
  EXPECT_EQ(program_.called,
            (std::vector<std::string>{"prepare data", "fit first", "evaluate .of-first",
                                      "fit second", "evaluate .of-second",
                                      // the second cell
                                      "fit first", "evaluate .of-first",
                                      // the third cell
                                      "fit second", "evaluate .of-second"}));
  const Json summary = read_json(out_ / "summary.json");
  ASSERT_EQ(summary["cells"].size(), 3u);
  ASSERT_EQ(summary["rows"].size(), 4u) << summary.dump(1);
  const auto row = [&](size_t i) { return summary["rows"][i]; };
  EXPECT_EQ(row(0)["id"], "of-first");
  EXPECT_EQ(row(0)["cell"], "base");
  EXPECT_DOUBLE_EQ(row(0)["hit@1"].get<double>(), 0.25);
  EXPECT_FALSE(row(0).contains("from_base"));
  EXPECT_EQ(row(1)["cell"], "first.rows=15");
  EXPECT_DOUBLE_EQ(row(1)["hit@1"].get<double>(), 0.75);
  EXPECT_DOUBLE_EQ(row(1)["from_base"]["hit@1"].get<double>(), 0.5);
  EXPECT_NEAR(row(1)["from_base"]["hit@1_p"].get<double>(), 2.0 / 1024, 1e-12) << "McNemar 10 : 0";
  EXPECT_NEAR(row(1)["from_base"]["hit@1_p_holm"].get<double>(), 4.0 / 1024, 1e-12);
  EXPECT_EQ(row(2)["cell"], "base");
  EXPECT_EQ(row(3)["cell"], "second.rows=3");
  EXPECT_NEAR(row(3)["from_base"]["hit@1"].get<double>(), -0.2, 1e-12);
  EXPECT_EQ(read_file(out_ / "table.txt") + "\ntable: " + (out_ / "table.html").string() + "\n",
            printed_);
  EXPECT_NE(read_file(out_ / "table.md").find("| of-first | first.rows=15 | 20 | 0.7500 |"),
            std::string::npos)
      << read_file(out_ / "table.md");
  EXPECT_NE(read_file(out_ / "table.tex").find("first.rows=15 & 20 & 0.7500"), std::string::npos);
  EXPECT_NE(read_file(out_ / "table.html").find("<td>first.rows=15</td>"), std::string::npos);
  // Every cell is a whole run.
  for (const char* cell : {"base", "first.rows=15", "second.rows=3"}) {
    for (const char* file : {"report.html", "recipe.toml", "first/rows", "data/split.json",
                             "predictions/of-second.jsonl", "stages/fit.json"})
      EXPECT_EQ(fs::exists(out_ / cell / file), std::string(file) != "stages/fit.json")
          << cell << " " << file;
  }
  EXPECT_EQ(read_file(out_ / "first.rows=15/first/rows"), "15");
  EXPECT_EQ(read_file(out_ / "base/first/rows"), "5");
  run(recipe(), {"first.rows=15", "second.rows=3"});
  EXPECT_TRUE(program_.called.empty()) << "all is there";
}

TEST_F(RecipeGrid, goes_on_where_it_was_stopped) {
  program_.fails_at = "9";
  EXPECT_THROW(run(recipe(), {"first.rows=6,9,12"}), Error);
  EXPECT_FALSE(fs::exists(out_ / "summary.json"));
  program_.fails_at = "";
  run(recipe(), {"first.rows=6,9,12"});
  EXPECT_EQ(program_.called, (std::vector<std::string>{"fit first", "evaluate .of-first",
                                                       "fit first", "evaluate .of-first"}));
  EXPECT_EQ(read_json(out_ / "summary.json")["rows"].size(), 5u);
  // One more value: the others are taken as they are.
  run(recipe(), {"first.rows=6,9,12,13"});
  EXPECT_EQ(program_.called, (std::vector<std::string>{"fit first", "evaluate .of-first"}));
}

TEST_F(RecipeGrid, compares_over_seeds) {
  Recipe two = recipe();
  two.seeds = {42, 43};
  run(two, {"first.rows=15"});
  EXPECT_TRUE(fs::exists(out_ / "first.rows=15/seed-43/report.html"));
  const Json summary = read_json(out_ / "summary.json");
  EXPECT_EQ(summary["rows"][1]["seeds"], 2);
  EXPECT_NEAR(summary["rows"][1]["hit@1"].get<double>(), 15.5 / 20, 1e-12);
  EXPECT_NEAR(summary["rows"][1]["from_base"]["hit@1"].get<double>(), 0.5, 1e-12);
}

TEST_F(RecipeGrid, is_not_made_in_the_folder_of_a_run) {
  fs::create_directories(out_);
  write_file_atomic(out_ / "recipe.json", "{}");
  EXPECT_THROW(run(recipe(), {"first.rows=6"}), Error);
}

}  // namespace
}  // namespace etrlrec
