// Slices by what was known: which rows are cold, and that the thirds and their comparison cover the
// rows that they name.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "data/candidate_file.h"
#include "data/split.h"
#include "data/synthetic.h"
#include "method/compare.h"
#include "method/slices.h"

namespace etrlrec {
namespace {

class Slices : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("etrlrec_slices_{}", ::getpid());
    dataset_ = make_world({.users = 80, .items = 120, .mean_events = 9}).dataset;
    // One item is new: whoever chose it early chose the first item instead.
    split_ = split_dataset(dataset_, {});
    for (size_t user = 0; user < split_.train_end.size(); ++user)
      for (int64_t at = dataset_.user_offsets[user]; at < split_.train_end[user]; ++at)
        if (dataset_.items[static_cast<size_t>(at)] == kNewItem)
          dataset_.items[static_cast<size_t>(at)] = 0;
    dataset_.items[static_cast<size_t>(split_.test.front().position)] = kNewItem;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static constexpr int32_t kNewItem = 7;
  fs::path folder_;
  Dataset dataset_;
  Split split_;
};

TEST_F(Slices, rows_are_cold_where_item_or_user_was_hardly_seen) {
  std::map<int32_t, int64_t> training_events;
  for (size_t user = 0; user < split_.train_end.size(); ++user)
    for (int64_t at = dataset_.user_offsets[user]; at < split_.train_end[user]; ++at)
      ++training_events[dataset_.items[static_cast<size_t>(at)]];
  const auto slices = slices_of(dataset_, split_, split_.test);
  std::map<std::string, std::set<int64_t>> by_word;
  for (const Slice& slice : slices) {
    const std::string word = slice.name.substr(0, slice.name.find(" ("));
    by_word[word] = {slice.rows.begin(), slice.rows.end()};
    EXPECT_TRUE(std::is_sorted(slice.rows.begin(), slice.rows.end())) << slice.name;
  }
  EXPECT_TRUE(by_word["cold items"].contains(0));
  for (size_t r = 0; r < split_.test.size(); ++r) {
    const auto row = static_cast<int64_t>(r);
    const Row& test = split_.test[r];
    const int64_t events = training_events[dataset_.items[static_cast<size_t>(test.position)]];
    const int64_t earlier = test.position - dataset_.user_offsets[static_cast<size_t>(test.user)];
    EXPECT_EQ(by_word["cold items"].contains(row), events == 0);
    EXPECT_EQ(by_word["cold users"].contains(row), earlier <= kFewEvents);
    EXPECT_EQ(by_word["other users"].contains(row), earlier > kFewEvents);
    int parts = by_word["cold items"].contains(row);
    for (const char* third : {"rare items", "middling items", "popular items"})
      parts += by_word[third].contains(row);
    EXPECT_EQ(parts, 1) << "row " << row << ", " << events << " training events";
    const int64_t pause = dataset_.times[static_cast<size_t>(test.position)] -
                          dataset_.times[static_cast<size_t>(test.position) - 1];
    EXPECT_EQ(by_word["last event at most 1 day before"].contains(row), pause <= 86400);
    EXPECT_EQ(by_word["last event 1 to 30 days before"].contains(row),
              pause > 86400 && pause <= 30 * 86400);
    EXPECT_EQ(by_word["last event more than 30 days before"].contains(row), pause > 30 * 86400);
  }
  EXPECT_GT(by_word["rare items"].size(), by_word["popular items"].size() / 4);
  EXPECT_GE(by_word.count("last event at most 1 day before") +
                by_word.count("last event 1 to 30 days before") +
                by_word.count("last event more than 30 days before"),
            2u);
  dataset_.order_only = true;
  for (const Slice& slice : slices_of(dataset_, split_, split_.test))
    EXPECT_EQ(slice.name.find("last event"), std::string::npos) << "times say nothing";
}

TEST_F(Slices, runs_are_compared_on_each) {
  fs::create_directories(folder_ / "data");
  save_dataset(dataset_, split_, folder_ / "data");
  const CandidateSet set = draw_candidates(dataset_, split_, split_.test, {.count = 5});
  save_candidates(set, dataset_, folder_ / "data/candidates-test.jsonl");
  const auto run = [&](const std::string& name, bool only_known, const std::string& hash) {
    Predictions predictions;
    predictions.model = name;
    predictions.protocol = "score[uniform5,seed=42]";
    predictions.candidates_hash = hash;
    predictions.num_candidates = 5;
    for (size_t r = 0; r < set.rows.size(); ++r) {
      Prediction row;
      row.row = static_cast<int64_t>(r);
      row.user = set.rows[r].user;
      row.target_slot = set.slots[r];
      const bool is_new = dataset_.items[static_cast<size_t>(set.rows[r].position)] == kNewItem;
      row.rank = only_known && is_new ? 5 : 1;
      predictions.rows.push_back(row);
    }
    save_predictions(predictions, folder_ / (name + ".jsonl"));
    return (folder_ / (name + ".jsonl")).string();
  };
  CompareOptions options{.runs = {run("known", true, set.hash), run("all", false, set.hash)},
                         .draws = 200,
                         .data = folder_ / "data"};
  const ComparedRuns compared = compare_runs(options);
  ASSERT_FALSE(compared.slices.empty());
  EXPECT_TRUE(compared.slices[0].name.starts_with("cold items"));
  EXPECT_LT(compared.slices[0].rows[0].row.hit1.mean, 1);
  EXPECT_EQ(compared.slices[0].rows[1].row.hit1.mean, 1);
  EXPECT_GE(compared.slices[0].pairs[0].hit1_adjusted, compared.slices[0].pairs[0].hit1.p_value);
  for (const ComparedSlice& slice : compared.slices) {
    const bool known = slice.name.ends_with("training events)");
    EXPECT_TRUE(!known || slice.rows[0].row.hit1.mean == 1) << slice.name;
  }
  EXPECT_NE(format_comparison(compared).find("\ncold items (no training event)\n\nmodel"),
            std::string::npos);
  options.runs = {run("other", true, "h"), run("others", false, "h")};
  EXPECT_THROW(compare_runs(options), Error);
}

}  // namespace
}  // namespace etrlrec
