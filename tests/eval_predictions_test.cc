// predictions.jsonl: round trip, refusals, summary and paired comparison.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "eval/predictions.h"

namespace etrlrec {
namespace {

// Four rows of three users, four candidates.
Predictions sample(const std::string& model = "student") {
  Predictions p;
  p.model = model;
  p.stage = "sft";
  p.protocol = "likelihood@4";
  p.candidates_hash = "abc";
  p.num_candidates = 4;
  p.seed = 18446744073709551615u;
  p.rows = {
      {0, 7, 0, 1, true, {0.5f, 0.1f, 0.30000001f, -1e-20f}, 1, "up(drama) \"quoted\" </script>\n"},
      {3, 7, 1, 2.5, true, {0, 0.25f, 0.5f, 0.25f}, 3, ""},
      {5, 8, 0, 5, false, {}, 26, "none"},
      {9, 9, 3, 1, true, {}, 4, "caf\xc3\xa9"}};
  return p;
}

class PredictionsFile : public testing::Test {
 protected:
  PredictionsFile()
      : path_(fs::temp_directory_path() / fmt::format("etrlrec_predictions_{}.jsonl", ::getpid())) {
  }
  ~PredictionsFile() override { fs::remove(path_); }
  void refuses(const std::string& text) {
    write_file_atomic(path_, text);
    EXPECT_THROW(load_predictions(path_), Error) << text;
  }
  fs::path path_;
};

TEST_F(PredictionsFile, round_trip_keeps_every_bit) {
  const Predictions p = sample();
  save_predictions(p, path_);
  const Predictions q = load_predictions(path_);
  EXPECT_EQ(q.model + q.stage + q.protocol + q.candidates_hash, "studentsftlikelihood@4abc");
  EXPECT_EQ(q.seed, p.seed);
  ASSERT_EQ(q.rows.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(q.rows[i].row, p.rows[i].row);
    EXPECT_EQ(q.rows[i].user, p.rows[i].user);
    EXPECT_EQ(q.rows[i].target_slot, p.rows[i].target_slot);
    EXPECT_EQ(q.rows[i].rank, p.rows[i].rank);
    EXPECT_EQ(q.rows[i].valid, p.rows[i].valid);
    EXPECT_EQ(q.rows[i].scores, p.rows[i].scores);
    EXPECT_EQ(q.rows[i].answer, p.rows[i].answer);
    EXPECT_EQ(q.rows[i].reasoning, p.rows[i].reasoning);
  }
}

TEST_F(PredictionsFile, broken_utf8_of_a_model_is_replaced_and_readable) {
  Predictions p = sample();
  p.rows[0].reasoning = "half \xe2\x82";
  save_predictions(p, path_);
  EXPECT_EQ(load_predictions(path_).rows[0].reasoning, "half \xef\xbf\xbd");
}

TEST_F(PredictionsFile, hostile_lines_are_refused) {
  const std::string header =
      R"({"format":"etrlrec-predictions","version":1,"model":"m","stage":"s","protocol":"p","candidates_hash":"h",)"
      R"("num_candidates":2,"seed":1,"rows":1})"
      "\n";
  const std::string good =
      R"({"row":0,"user":0,"target_slot":0,"rank":1,"valid":true,"answer":1,"scores":[1,0]})"
      "\n";
  write_file_atomic(path_, header + good);
  EXPECT_EQ(load_predictions(path_).rows.size(), 1u);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string line = good;
    return header + line.replace(line.find(from), from.size(), to);
  };
  refuses("");
  refuses(header);
  refuses(good + header);
  refuses(header + good + good);
  refuses(header + "not json\n");
  refuses(with("\"rank\":1", "\"rank\":0.5"));
  refuses(with("\"rank\":1", "\"rank\":4"));
  refuses(with("\"rank\":1", "\"rank\":null"));
  refuses(with("\"target_slot\":0", "\"target_slot\":2"));
  refuses(with("[1,0]", "[1]"));
  refuses(with("[1,0]", "[1,1e60]"));
  refuses(with("\"answer\":1", "\"answer\":3"));
  refuses(with("\"row\":0", "\"row\":-1"));
  refuses(with("true", "\"yes\""));
}

TEST_F(PredictionsFile, saving_refuses_what_loading_would) {
  Predictions p = sample();
  p.rows[1].scores[0] = std::nanf("");
  EXPECT_THROW(save_predictions(p, path_), Error);
  p = sample();
  p.rows[1].row = 0;
  EXPECT_THROW(save_predictions(p, path_), Error);
}

TEST(Predictions, summary_counts_never_named_targets_as_zero) {
  const MetricRow row = summarize(sample());
  EXPECT_EQ(row.n, 4);
  EXPECT_DOUBLE_EQ(row.hit1.mean, 0.5);
  EXPECT_DOUBLE_EQ(row.hit5, 0.75);
  EXPECT_DOUBLE_EQ(row.mrr, (1 + 1 / 2.5 + 0 + 1) / 4);
  EXPECT_DOUBLE_EQ(row.ndcg10, (1 + 1 / std::log2(3.5) + 0 + 1) / 4);
  EXPECT_DOUBLE_EQ(row.valid_ratio, 0.75);
  EXPECT_LE(row.hit1.low, row.hit1.mean);
  EXPECT_GE(row.hit1.high, row.hit1.mean);
}

TEST(Predictions, a_share_of_all_rows_is_exactly_one) {
  Predictions p = sample();
  const Prediction first = p.rows[0];
  p.rows.assign(10, first);  // ten times a tenth would be less
  for (size_t i = 0; i < p.rows.size(); ++i) p.rows[i].row = static_cast<int64_t>(i);
  const MetricRow row = summarize(p);
  EXPECT_EQ(row.valid_ratio, 1.0);
  EXPECT_EQ(row.mrr, 1.0);
}

TEST(Predictions, accuracy_by_slot_is_nan_where_no_target_stood) {
  const std::vector<double> slots = summarize(sample()).hit1_by_slot;
  EXPECT_DOUBLE_EQ(slots[0], 0.5);
  EXPECT_DOUBLE_EQ(slots[1], 0);
  EXPECT_TRUE(std::isnan(slots[2]));
  EXPECT_DOUBLE_EQ(slots[3], 1);
}

TEST(Predictions, comparison_pairs_rows_by_number_not_by_place) {
  Predictions first = sample("a"), second = sample("b");
  std::swap(second.rows[0], second.rows[3]);
  second.rows[0].rank = 2;  // row 9
  const Comparison c = compare_predictions(first, second, 500);
  EXPECT_EQ(c.first, "a / sft");
  EXPECT_EQ(c.only_first, 1);
  EXPECT_EQ(c.only_second, 0);
  EXPECT_DOUBLE_EQ(c.hit1.difference, 0.25);
  EXPECT_DOUBLE_EQ(c.hit1.p_value, 1);  // one discordant row says nothing
  EXPECT_DOUBLE_EQ(c.ndcg10.difference, (1 - 1 / std::log2(3)) / 4);
}

TEST(Predictions, comparison_refuses_other_candidates_and_other_rows) {
  Predictions first = sample("a"), second = sample("b");
  second.candidates_hash = "other";
  EXPECT_THROW(compare_predictions(first, second, 10), Error);
  second = sample("b");
  second.rows.pop_back();
  EXPECT_THROW(compare_predictions(first, second, 10), Error);
  second = sample("b");
  second.rows[3].row = 10;
  EXPECT_THROW(compare_predictions(first, second, 10), Error);
  second = sample("b");
  second.rows[3].target_slot = 0;
  EXPECT_THROW(compare_predictions(first, second, 10), Error);
}

TEST(Predictions, family_of_comparisons_is_adjusted_by_holm) {
  std::vector<Comparison> family(3);
  family[0].hit1.p_value = 0.01;
  family[1].hit1.p_value = 0.04;
  family[2].hit1.p_value = 0.02;
  adjust_comparisons(family);
  EXPECT_NEAR(family[0].hit1_adjusted, 0.03, 1e-12);
  EXPECT_NEAR(family[1].hit1_adjusted, 0.04, 1e-12);
  EXPECT_NEAR(family[2].hit1_adjusted, 0.04, 1e-12);
}

TEST(Predictions, summary_refuses_no_rows) {
  Predictions p = sample();
  p.rows.clear();
  EXPECT_THROW(summarize(p), Error);
}

}  // namespace
}  // namespace etrlrec
