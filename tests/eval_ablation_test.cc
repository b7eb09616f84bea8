// What an ablation takes away, and above all what it leaves as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "eval/ablation.h"

namespace etrlrec {
namespace {

// Five entries; every gap is different, so that it can be followed.
std::vector<Request> some_requests() {
  std::vector<Request> requests;
  for (int64_t r = 0; r < 40; ++r) {
    Request request;
    request.history = {10, 11, 12, 13, 14};
    request.times = {1000, 1001, 1003, 1007, 1015};
    request.now = 1031 + 40000000 * r;
    for (int64_t& time : request.times) time += 40000000 * r;
    requests.push_back(request);
  }
  return requests;
}

std::vector<int64_t> gaps_of(const Request& request) {
  std::vector<int64_t> gaps;
  for (size_t j = 1; j < request.times.size(); ++j)
    gaps.push_back(request.times[j] - request.times[j - 1]);
  gaps.push_back(request.now - request.times.back());
  return gaps;
}

TEST(Ablation, shuffled_entries_keep_the_gap_before_them) {
  const auto before = some_requests();
  const auto after = ablate_requests(before, "shuffle-history", 1);
  std::set<std::vector<int32_t>> orders;
  for (size_t r = 0; r < before.size(); ++r) {
    orders.insert(after[r].history);
    EXPECT_EQ(after[r].history[0], 10);
    EXPECT_EQ(after[r].now, before[r].now);
    const auto old_gaps = gaps_of(before[r]), gaps = gaps_of(after[r]);
    EXPECT_EQ(gaps.back(), old_gaps.back());
    for (size_t j = 1; j < 5; ++j) EXPECT_EQ(gaps[j - 1], old_gaps[after[r].history[j] - 11]);
  }
  EXPECT_GT(orders.size(), 10u);
}

TEST(Ablation, permuted_gaps_leave_items_and_request_time) {
  const auto before = some_requests();
  const auto after = ablate_requests(before, "permute-gaps", 1);
  int moved = 0;
  for (size_t r = 0; r < before.size(); ++r) {
    EXPECT_EQ(after[r].history, before[r].history);
    EXPECT_EQ(after[r].now, before[r].now);
    auto old_gaps = gaps_of(before[r]), gaps = gaps_of(after[r]);
    moved += gaps != old_gaps;
    std::sort(old_gaps.begin(), old_gaps.end());
    std::sort(gaps.begin(), gaps.end());
    EXPECT_EQ(gaps, old_gaps);
  }
  EXPECT_GT(moved, 30);
}

TEST(Ablation, a_shifted_season_leaves_order_and_gaps) {
  const auto before = some_requests();
  const auto after = ablate_requests(before, "shift-season", 1);
  std::set<int64_t> shifts;
  for (size_t r = 0; r < before.size(); ++r) {
    EXPECT_EQ(after[r].history, before[r].history);
    EXPECT_EQ(gaps_of(after[r]), gaps_of(before[r]));
    shifts.insert(before[r].now - after[r].now);
  }
  EXPECT_EQ(shifts.size(), 4u);
}

TEST(Ablation, none_changes_nothing_and_other_names_are_refused) {
  const auto before = some_requests();
  const auto after = ablate_requests(before, "none", 1);
  EXPECT_EQ(after[3].times, before[3].times);
  EXPECT_EQ(after[3].history, before[3].history);
  EXPECT_EQ(ablate_requests(before, "permute-gaps", 5)[7].times,
            ablate_requests(before, "permute-gaps", 5)[7].times);
  EXPECT_THROW(ablate_requests(before, "reverse", 1), Error);
}

TEST(Ablation, short_histories_stay_whole) {
  Request request;
  request.now = 5;
  for (const char* name : {"shuffle-history", "permute-gaps", "shift-season"}) {
    EXPECT_TRUE(ablate_requests(std::span(&request, 1), name, 1)[0].history.empty());
  }
}

}  // namespace
}  // namespace etrlrec
