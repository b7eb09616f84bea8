// The whole catalogue in two stages: what is retrieved, and whose rank counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "eval/reranking.h"

namespace etrlrec {
namespace {

class Reranking : public testing::Test {
 protected:
  Reranking() {
    rows_.rows = {{0, 2}, {1, 2}, {2, 2}};
    for (size_t r = 0; r < 3; ++r)
      rows_.tasks.push_back({{history_, times_, 100}, std::vector<int32_t>{3, 5, 0}[r]});
  }
  // Every row: 5 3 1 0 4 2, the history is 5 1.
  AskCatalogue recommender() const {
    return [](int64_t begin, int64_t end) {
      Predictions out;
      out.protocol = "score";
      for (int64_t row = begin; row < end; ++row)
        out.rows.emplace_back().scores = {3, 4, 1, 5, 2, 6};
      return out;
    };
  }

  const std::vector<int32_t> history_{5, 1};
  const std::vector<int64_t> times_{1, 2};
  FullRows rows_;
};

TEST_F(Reranking, retrieves_the_best_and_counts_the_targets_among_them) {
  using Items = std::vector<int32_t>;
  const FirstStage two = retrieve(rows_, 6, recommender(), 2);
  EXPECT_EQ(two.items[0], (Items{5, 3}));
  EXPECT_DOUBLE_EQ(two.recall, 2.0 / 3);  // 3 and 5, not 0
  EXPECT_EQ(two.target_ranks, (std::vector<double>{2, 1, 4}));
  EXPECT_DOUBLE_EQ(retrieve(rows_, 6, recommender(), 4).recall, 1);
  rows_.mask_seen = true;  // 5 and 1 leave, but for the row whose target is 5
  const FirstStage unseen = retrieve(rows_, 6, recommender(), 2);
  EXPECT_EQ(unseen.items[0], (Items{3, 0}));
  EXPECT_EQ(unseen.items[1], (Items{5, 3}));
  EXPECT_DOUBLE_EQ(unseen.recall, 1);
  EXPECT_EQ(unseen.target_ranks, (std::vector<double>{1, 1, 2}));
  for (const int64_t count : {0, 1, 7})
    EXPECT_THROW(retrieve(rows_, 6, recommender(), count), Error);
  EXPECT_THROW(retrieve(rows_, 6, recommender(), 6), Error) << "a row has four unseen items";
}

TEST_F(Reranking, candidates_stand_in_a_drawn_order) {
  const FirstStage stage = retrieve(rows_, 6, recommender(), 4);
  std::vector<Request> requests(3);
  set_candidates(rows_, stage, 7, requests);
  for (size_t r = 0; r < 3; ++r) {
    EXPECT_EQ(requests[r].candidates.at(static_cast<size_t>(requests[r].target_slot)),
              rows_.tasks[r].target);
    std::vector<int32_t> sorted = requests[r].candidates, items = stage.items[r];
    std::sort(sorted.begin(), sorted.end());
    std::sort(items.begin(), items.end());
    EXPECT_EQ(sorted, items);
  }
  std::set<std::vector<int32_t>> orders;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    set_candidates(rows_, stage, seed, requests);
    orders.insert(requests[0].candidates);
  }
  EXPECT_GT(orders.size(), 15u) << "24 orders of four";
  const FirstStage two = retrieve(rows_, 6, recommender(), 2);
  set_candidates(rows_, two, 7, requests);
  EXPECT_EQ(requests[2].target_slot, 0) << "the target is not among them";
}

TEST_F(Reranking, a_retrieved_target_has_the_rank_of_the_model) {
  const FirstStage stage = retrieve(rows_, 6, recommender(), 3);  // 5 3 1
  std::vector<Request> requests(3);
  set_candidates(rows_, stage, 7, requests);
  // The model turns the recommender's order around: 1 3 5.
  Predictions answers;
  answers.protocol = "likelihood";
  for (size_t r = 0; r < 3; ++r) {
    Prediction& row = answers.rows.emplace_back();
    row.target_slot = requests[r].target_slot;
    std::vector<double> scores;
    for (const int32_t item : requests[r].candidates)
      scores.push_back(item == 1 ? 3 : item == 3 ? 2 : 1);
    set_ranking(row, scores);
    row.row = static_cast<int64_t>(r);
    row.reasoning = "why";
  }
  const Predictions found = reranked(rows_, 6, stage, requests, answers);
  EXPECT_EQ(found.protocol, "top3+likelihood");
  EXPECT_EQ(found.num_candidates, 6);
  EXPECT_EQ(found.rows[0].rank, 2);  // 3
  EXPECT_EQ(found.rows[1].rank, 3);  // 5
  EXPECT_EQ(found.rows[2].rank, 4);  // 0: not retrieved, fourth of the recommender
  for (size_t r = 0; r < 3; ++r) {
    EXPECT_EQ(found.rows[r].answer, 1 + 1) << "item 1";
    EXPECT_EQ(found.rows[r].target_slot, rows_.tasks[r].target);
    EXPECT_EQ(found.rows[r].user, static_cast<int32_t>(r));
    EXPECT_TRUE(found.rows[r].scores.empty());
    EXPECT_EQ(found.rows[r].reasoning, "why");
  }
}

// Where ties put a target that was not retrieved among the retrieved, it stays behind them.
TEST_F(Reranking, a_target_that_was_left_out_never_beats_one_that_was_ranked) {
  const AskCatalogue same = [](int64_t begin, int64_t end) {
    Predictions out;
    for (int64_t row = begin; row < end; ++row) out.rows.emplace_back().scores.resize(6, 1);
    return out;
  };
  const FirstStage stage = retrieve(rows_, 6, same, 4);  // items 0 to 3; the target of row 1 is 5
  EXPECT_EQ(stage.target_ranks[1], 3.5);
  std::vector<Request> requests(3);
  set_candidates(rows_, stage, 7, requests);
  Predictions answers;
  for (size_t r = 0; r < 3; ++r) {
    Prediction& row = answers.rows.emplace_back();
    row.target_slot = requests[r].target_slot;
    set_ranking(row, std::vector<double>{1, 2, 3, 4});
  }
  EXPECT_EQ(reranked(rows_, 6, stage, requests, answers).rows[1].rank, 5);
}

}  // namespace
}  // namespace etrlrec
