#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "method/compare.h"

namespace etrlrec {
namespace {

class Compare : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("etrlrec_compare_{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // 40 rows of 10 candidates, of which the first `hits` are found.
  std::string run(const std::string& name, int64_t hits, const std::string& hash = "h",
                  const std::string& protocol = "score[uniform10,seed=42]",
                  const std::string& stage = "fit") {
    Predictions predictions;
    predictions.model = name;
    predictions.stage = stage;
    predictions.protocol = protocol;
    predictions.candidates_hash = hash;
    predictions.num_candidates = 10;
    for (int64_t r = 0; r < 40; ++r) {
      Prediction row;
      row.row = r;
      row.user = static_cast<int32_t>(r);
      row.rank = r < hits ? 1 : 4;
      predictions.rows.push_back(row);
    }
    save_predictions(predictions, folder_ / (name + ".jsonl"));
    return folder_ / (name + ".jsonl");
  }
  static ExitCode refusal(const CompareOptions& options) {
    try {
      compare_runs(options);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::kFailure;
  }
  fs::path folder_;
};

TEST_F(Compare, later_runs_are_tested_against_earlier_ones) {
  const ComparedRuns compared =
      compare_runs({.runs = {run("a", 10), run("b", 30), run("c", 30)}, .draws = 200});
  ASSERT_EQ(compared.rows.size(), 3u);
  EXPECT_DOUBLE_EQ(compared.rows[1].row.hit1.mean, 0.75);
  ASSERT_EQ(compared.pairs.size(), 3u);
  EXPECT_EQ(compared.pairs[0].first, "b / fit");
  EXPECT_EQ(compared.pairs[0].second, "a / fit");
  EXPECT_DOUBLE_EQ(compared.pairs[0].hit1.difference, 0.5);
  EXPECT_LT(compared.pairs[0].hit1.p_value, 1e-4);
  EXPECT_GE(compared.pairs[0].hit1_adjusted, compared.pairs[0].hit1.p_value);
  EXPECT_DOUBLE_EQ(compared.pairs[2].hit1.difference, 0);
  const OrderedJson json = to_json(compared);
  EXPECT_EQ(json["rows"].size(), 3u);
  EXPECT_EQ(json["pairs"][0]["n"], 40);
}

TEST_F(Compare, says_how_many_rows_a_difference_needs) {
  // 20 of 40 rows differ, all in favour of b: difference .5 = discordance, (2.8 / .5)^2 * .5
  // = 15.68.
  const ComparedRuns clear = compare_runs({.runs = {run("a", 10), run("b", 30)}, .draws = 200});
  EXPECT_DOUBLE_EQ(clear.pairs[0].discordance, 0.5);
  EXPECT_EQ(clear.pairs[0].rows_needed, 16);
  EXPECT_EQ(to_json(clear)["pairs"][0]["rows_for_80_percent_power"], 16);
  EXPECT_NEAR(to_json(clear)["pairs"][0]["hit@1_detectable"].get<double>(),
              2.8 * std::sqrt(0.5 / 40), 1e-12);
  // One row of 40: difference and discordance .025, (2.8 / .025)^2 * .025 = 313.6.
  const ComparedRuns close = compare_runs({.runs = {run("a", 10), run("c", 11)}, .draws = 200});
  EXPECT_EQ(close.pairs[0].rows_needed, 314);
  const ComparedRuns none = compare_runs({.runs = {run("a", 10), run("d", 10)}, .draws = 200});
  EXPECT_EQ(none.pairs[0].rows_needed, std::nullopt);
  EXPECT_TRUE(to_json(none)["pairs"][0]["rows_for_80_percent_power"].is_null());
}

TEST_F(Compare, takes_the_seeds_of_an_arm_together) {
  const std::string seeds = run("p1", 8) + "," + run("p2", 16) + "," + run("p3", 24);
  const ComparedRuns compared = compare_runs({.runs = {run("base", 8), seeds}, .draws = 2000});
  ASSERT_EQ(compared.rows.size(), 2u);
  EXPECT_EQ(compared.rows[0].seeds, 1);
  EXPECT_EQ(compared.rows[1].seeds, 3);
  EXPECT_EQ(compared.rows[1].row.model, "p1, 3 seeds");
  EXPECT_DOUBLE_EQ(compared.rows[1].row.hit1.mean, 0.4);
  EXPECT_DOUBLE_EQ(compared.rows[1].hit1_sd, 0.2);
  EXPECT_DOUBLE_EQ(compared.pairs[0].hit1.difference, 0.2);
  // Rows 8-15: hit by two of three seeds, 16-23: by one. (8 * 4/9 + 8 * 1/9) / 40 = 1/9.
  EXPECT_NEAR(compared.pairs[0].discordance, 1.0 / 9, 1e-12);
  EXPECT_EQ(compared.pairs[0].only_first, 16);
  const ComparedRuns alone = compare_runs({.runs = {run("base", 8), run("p2", 16)}, .draws = 2000});
  EXPECT_LT(compared.pairs[0].hit1.low, alone.pairs[0].hit1.low)
      << "seeds that differ widen the interval of the same difference";
  EXPECT_GT(compared.pairs[0].hit1.high, alone.pairs[0].hit1.high);
  const OrderedJson json = to_json(compared);
  EXPECT_EQ(json["rows"][1]["seeds"], 3);
  EXPECT_FALSE(json["rows"][0].contains("seeds"));
  EXPECT_EQ(refusal({.runs = {seeds + ",", run("base", 8)}}), ExitCode::kUsage);
  EXPECT_EQ(refusal({.runs = {run("base", 8), seeds + "," + run("other", 8, "x")}}),
            ExitCode::kUsage);
  const std::string mixed =
      run("p1", 8) + "," + run("sft", 8, "h", "score[uniform10,seed=42]", "distill");
  EXPECT_EQ(refusal({.runs = {run("base", 8), mixed}}), ExitCode::kUsage) << "two arms, no seeds";
  fs::rename(run("with", 8), folder_ / "with,comma.jsonl");
  EXPECT_EQ(compare_runs({.runs = {folder_ / "with,comma.jsonl", run("base", 8)}, .draws = 100})
                .rows[0]
                .seeds,
            1);
}

TEST_F(Compare, tables_escape_names_in_every_format) {
  ComparedRuns compared = compare_runs({.runs = {run("a", 10), run("b", 30)}, .draws = 200});
  compared.rows[0].row.model = "50% <b>_x|y_</b> & \\z";
  const std::string text = format_comparison(compared),
                    markdown = format_comparison(compared, DocumentFormat::kMarkdown),
                    latex = format_comparison(compared, DocumentFormat::kLatex),
                    html = format_comparison(compared, DocumentFormat::kHtml);
  EXPECT_TRUE(text.starts_with("model ")) << text;
  EXPECT_NE(text.find("\n50% <b>_x|y_</b> & \\z  40"), std::string::npos) << text;
  EXPECT_NE(text.find("\npaired on the same 40 rows; p: exact McNemar"), std::string::npos) << text;
  EXPECT_NE(text.find("\nb / fit - a / fit  +0.5000  ["), std::string::npos) << text;
  EXPECT_NE(markdown.find("| 50% \\<b\\>\\_x\\|y\\_\\</b\\> \\& \\\\z | 40 | 0.2500 |"),
            std::string::npos)
      << markdown;
  EXPECT_NE(latex.find("50\\% \\textless{}b\\textgreater{}\\_x\\textbar{}y\\_\\textless{}/b"
                       "\\textgreater{} \\& \\textbackslash{}z & 40 & 0.2500 & {[}"),
            std::string::npos)
      << latex;
  EXPECT_NE(latex.find("95 \\%"), std::string::npos);
  EXPECT_NE(html.find("<td>50% &lt;b&gt;_x|y_&lt;/b&gt; &amp; \\z</td>"), std::string::npos)
      << html;
  EXPECT_EQ(html.find("<b>"), std::string::npos);
}

TEST_F(Compare, refuses_other_rows_and_other_protocols) {
  const std::string a = run("a", 10, "h", "likelihood[uniform10,seed=42]");
  EXPECT_EQ(refusal({.runs = {a, run("b", 10, "other")}}), ExitCode::kUsage);
  const std::string other = run("c", 10, "h", "elimination[uniform10,seed=42]");
  EXPECT_EQ(refusal({.runs = {a, other}}), ExitCode::kUsage);
  EXPECT_EQ(compare_runs({.runs = {a, other}, .draws = 100, .force = true}).pairs.size(), 1u);
  EXPECT_EQ(compare_runs({.runs = {a, run("d", 3)}, .draws = 100}).pairs.size(), 1u)
      << "scores are compared with every protocol";
}

}  // namespace
}  // namespace etrlrec
