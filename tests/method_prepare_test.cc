#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/candidate_file.h"
#include "method/prepare.h"

namespace etrlrec {
namespace {

class PrepareFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("etrlrec_prepare_" + std::to_string(getpid()));
    fs::create_directories(folder_ / "out");
    options_.out = "out";
  }
  void TearDown() override { fs::remove_all(folder_); }
  OrderedJson prepare_log(const std::string& text) {
    options_.input = folder_ / "log.csv";
    write_file_atomic(options_.input, text);
    OrderedJson report;
    prepare(options_, folder_ / "out", &report);
    return report;
  }
  std::string error_of(const std::string& text) {
    try {
      prepare_log(text);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_;
  PrepareOptions options_;
};

// Twelve users with 6 of 20 items each, and one who has chosen every item in the end.
std::string log_with_heavy_user() {
  std::string text = "user,item,time\n";
  for (int u = 0; u < 12; ++u)
    for (int j = 0; j < 6; ++j)
      text += fmt::format("u{},i{},{}\n", u, (3 * u + j) % 20, 1400000000 + 100000 * j + u);
  for (int j = 0; j < 20; ++j) text += fmt::format("heavy,i{},{}\n", j, 1400000000 + 30000 * j);
  return text;
}

TEST_F(PrepareFolder, rows_without_enough_negatives_get_no_candidates_in_any_part) {
  options_.candidates.count = 5;
  const OrderedJson report = prepare_log(log_with_heavy_user());
  const auto rows = report["test_rows"].get<int64_t>();
  const auto judged = report["candidates"]["test"]["rows"].get<int64_t>();
  EXPECT_GT(judged, 0);
  EXPECT_LT(judged, rows) << "the last rows of a user who has chosen everything";
}

TEST_F(PrepareFolder, training_rows_may_have_negatives_of_another_kind) {
  options_.candidates.count = 3;
  options_.train.kind = CandidateKind::kAlive;
  prepare_log(log_with_heavy_user());
  const Dataset dataset = load_dataset(folder_ / "out");
  const auto kind = [&](const char* part) {
    const fs::path file = folder_ / fmt::format("out/candidates-{}.jsonl", part);
    return load_candidates(file, dataset).options.kind;
  };
  EXPECT_EQ(kind("train"), CandidateKind::kAlive);
  EXPECT_EQ(kind("valid"), CandidateKind::kUniform);
  EXPECT_EQ(kind("test"), CandidateKind::kUniform);
}

TEST_F(PrepareFolder, a_log_without_times_is_told_by_its_order) {
  options_.reader.time.order = true;
  options_.reader.map = {{"user", "1"}, {"item", "2"}};
  options_.candidates.count = 3;
  std::string text;
  for (int u = 0; u < 9; ++u)
    for (int j = 0; j < 5; ++j) text += fmt::format("{} {}\n", u, (u + j) % 9);
  EXPECT_NE(error_of(text).find("cannot be split by time"), std::string::npos);
  options_.split.kind = SplitKind::kLeaveOneOut;
  const OrderedJson report = prepare_log(text);
  EXPECT_EQ(report["time_unit"], "order of the file");
  const Dataset dataset = load_dataset(folder_ / "out");
  EXPECT_TRUE(dataset.order_only) << "the folder says it";
  EXPECT_EQ(dataset.catalogue.item_ids[static_cast<size_t>(dataset.items[1])], "1");
}

TEST_F(PrepareFolder, a_log_of_which_a_fifth_cannot_be_used_is_an_error_unless_allowed) {
  std::string text = log_with_heavy_user();
  for (int j = 0; j < 30; ++j) text += fmt::format("u{},i1,soon\n", j);
  const std::string error = error_of(text);
  EXPECT_NE(error.find("30 of 122 rows cannot be used, first line 94: bad time"), std::string::npos)
      << error;
  EXPECT_NE(error.find("--allow-rejects"), std::string::npos);
  options_.allow_rejects = true;
  options_.candidates.count = 5;
  EXPECT_EQ(prepare_log(text)["rejected"], 30);
}

}  // namespace
}  // namespace etrlrec
