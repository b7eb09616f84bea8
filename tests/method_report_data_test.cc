// A worked example of the report shows and judges what the row's view shows, no more.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "data/split.h"
#include "data/synthetic.h"
#include "method/report_data.h"
#include "method/row.h"
#include "temporal/gaps.h"
#include "temporal/statistics.h"

namespace etrlrec {
namespace {

TEST(ReportData, judges_an_example_by_the_facts_of_its_view) {
  Study study;
  study.dataset = make_world({.users = 60, .items = 80, .mean_events = 12}).dataset;
  const Split split = split_dataset(study.dataset, {});
  study.statistics = count_statistics(study.dataset, split);
  std::vector<Row> rows(split.train.begin(), split.train.begin() + 40);
  const RowSource source(study, draw_candidates(study.dataset, split, rows, {.count = 6}),
                         {.max_history = 3});
  for (int64_t row = 0; row < source.size(); ++row) {
    const RowView view = source.view(row);
    Prediction prediction;
    prediction.row = row;
    prediction.answer = 2;
    prediction.scores.assign(6, 1.f / 6);
    // An entry that is shown and one that is not.
    const std::string word =
        gap_word(gap_bucket(view.request().now - view.request().times.front()));
    prediction.reasoning = fmt::format(" gap( 1 now {}) gap( 4 now {})", word, word);
    const ReportExample example = make_example(study, view, prediction, nullptr, {});
    ASSERT_LE(example.history.size(), 3u);
    ASSERT_EQ(example.history.size(), view.request().history.size());
    ASSERT_EQ(example.candidates.size(), 6u);
    ASSERT_EQ(example.claims.size(), 2u);
    EXPECT_EQ(example.claims[0].verdict, Verdict::kTrue) << prediction.reasoning;
    EXPECT_NE(example.claims[1].verdict, Verdict::kTrue) << prediction.reasoning;
    EXPECT_EQ(example.truth, view.request().target_slot + 1);
    EXPECT_EQ(example.answer, 2);
  }
}

}  // namespace
}  // namespace etrlrec
