#include <gtest/gtest.h>

#include <limits>

#include "base/check.h"
#include "models/ranking.h"
#include "refusals.h"

namespace etrlrec {
namespace {

// Scores are given; the slow twin of the rank counts one by one.
class FixedScores : public Recommender {
 public:
  explicit FixedScores(at::Tensor scores) : scores_(std::move(scores)) {}
  std::string name() const override { return "fixed"; }
  int64_t num_items() const override { return scores_.size(0); }
  at::Tensor score(std::span<const HistoryView> histories) const override {
    return scores_.expand({static_cast<int64_t>(histories.size()), -1});
  }
  void save(const std::filesystem::path&) const override {}

 private:
  at::Tensor scores_;
};

TEST(FullRanks, counts_ties_by_half_and_leaves_seen_items_out) {
  const FixedScores model(at::tensor({3.0F, 1.0F, 2.0F, 2.0F, 2.0F, 5.0F}));
  const std::vector<int32_t> history{5, 3, 5};
  const std::vector<int64_t> times(3, 0);
  const std::vector<RankingTask> tasks{{{history, times, 0}, 2}, {{history, times, 0}, 5}};
  EXPECT_EQ(full_ranks(model, tasks).all, (std::vector<double>{4, 1}));
  EXPECT_EQ(full_ranks(model, tasks).unseen, (std::vector<double>{2.5, 1}));
}

TEST(FullRanks, refuses_scores_that_are_no_numbers) {
  for (const int32_t target : {0, 1}) {
    const FixedScores model(at::tensor({3.0F, std::numeric_limits<float>::quiet_NaN(), 2.0F}));
    const std::vector<RankingTask> tasks{{{}, target}};
    refuses([&] { full_ranks(model, tasks); }, ExitCode::kNumbers, "found NaN");
  }
}

TEST(FullRanks, refuses_targets_outside_of_the_catalogue) {
  const FixedScores model(at::zeros({3}));
  const std::vector<RankingTask> tasks{{{}, 3}};
  EXPECT_THROW(full_ranks(model, tasks), Error);
}

}  // namespace
}  // namespace etrlrec
