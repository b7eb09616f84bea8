#include <gtest/gtest.h>
#include <unistd.h>

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
                  const std::string& protocol = "score[uniform10,seed=42]") {
    Predictions predictions;
    predictions.model = name;
    predictions.stage = "fit";
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
  EXPECT_DOUBLE_EQ(compared.rows[1].hit1.mean, 0.75);
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

TEST_F(Compare, a_table_for_the_terminal_is_one_for_latex_with_other_separators) {
  const ComparedRuns compared = compare_runs({.runs = {run("a", 10), run("b", 30)}, .draws = 200});
  const std::string text = format_comparison(compared), latex = format_comparison(compared, true);
  const std::string head =
      "model                              n    hit@1       95% interval  ndcg@10      mrr   "
      "valid\n";
  EXPECT_TRUE(text.starts_with(head + "a                                 40   0.2500    ["))
      << text;
  EXPECT_NE(text.find("\npaired on the same 40 rows; p: "), std::string::npos) << text;
  EXPECT_NE(text.find("\nb / fit - a / fit: hit@1 +0.5000 ["), std::string::npos) << text;
  EXPECT_TRUE(latex.starts_with("model                        &      n &   hit@1 & ")) << latex;
  EXPECT_NE(latex.find(" \\\\\na    "), std::string::npos) << latex;
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
