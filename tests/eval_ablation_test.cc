// What an ablation takes away, and above all what it leaves as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/strings.h"
#include "eval/ablation.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"

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

TEST(Ablation, a_reversed_history_keeps_its_neighbours_and_the_gap_to_the_request) {
  const auto before = some_requests();
  const auto after = ablate_requests(before, "reverse-history", 1);
  EXPECT_EQ(after[0].history, (std::vector<int32_t>{14, 13, 12, 11, 10}));
  EXPECT_EQ(after[0].times, (std::vector<int64_t>{1000, 1008, 1012, 1014, 1015}));
  EXPECT_EQ(after[0].now, 1031);
  const auto twice = ablate_requests(after, "reverse-history", 1);
  for (size_t r = 0; r < before.size(); ++r) {
    EXPECT_EQ(twice[r].history, before[r].history);
    EXPECT_EQ(twice[r].times, before[r].times);
  }
}

TEST(Ablation, inflated_gaps_are_four_times_as_long) {
  const auto before = some_requests();
  const auto after = ablate_requests(before, "inflate-gaps", 1);
  EXPECT_EQ(after[0].times, (std::vector<int64_t>{907, 911, 919, 935, 967}));
  for (size_t r = 0; r < before.size(); ++r) {
    EXPECT_EQ(after[r].history, before[r].history);
    EXPECT_EQ(after[r].now, before[r].now);
    auto gaps = gaps_of(before[r]);
    for (int64_t& gap : gaps) gap *= kGapInflation;
    EXPECT_EQ(gaps_of(after[r]), gaps);
  }
}

TEST(Ablation, without_times_rows_differ_by_their_items_alone) {
  auto before = some_requests();
  before[3].history = {14, 10};
  before[3].times.resize(2);
  const auto after = ablate_requests(before, "remove-times", 1);
  for (size_t r = 0; r < before.size(); ++r) {
    EXPECT_EQ(after[r].history, before[r].history);
    EXPECT_EQ(after[r].now, before[19].now) << "the lower median of 40";
    EXPECT_EQ(after[r].times, std::vector<int64_t>(before[r].history.size(), before[19].now));
  }
  EXPECT_TRUE(ablate_requests({}, "remove-times", 1).empty());
}

// The texts that models read: no word of them can tell the rows apart.
TEST(Ablation, without_times_prompts_say_one_gap_and_one_season) {
  const Catalogue catalogue = small_catalogue();
  std::vector<Request> requests{small_request(), small_request(), small_request()};
  for (int64_t& time : requests[1].times) time -= 100 * kDay;
  requests[1].now -= 90 * kDay;  // another quarter, other gaps
  requests[2].now += 900 * kDay;
  for (const PromptStyle& style : prompt_styles())
    for (const AnswerKind answer : {AnswerKind::kNumber, AnswerKind::kTitle}) {
      const PromptOptions options{.style = std::string(style.name), .answer = answer};
      const auto text = [&](const Request& request) {
        return student_prompt(catalogue, request, options);
      };
      EXPECT_NE(text(requests[0]), text(requests[1]));
      const auto after = ablate_requests(requests, "remove-times", 1);
      EXPECT_EQ(text(after[0]), text(after[1]));
      EXPECT_EQ(text(after[0]), text(after[2]));
      for (const char* word : {"sitting", "hour", "day", "week", "month", "quarter"})
        EXPECT_EQ(ascii_lower(text(after[0])).find(word), std::string::npos) << text(after[0]);
    }
}

TEST(Ablation, names_and_what_they_move) {
  std::vector<std::string> moving;
  ASSERT_EQ(ablation_names().front(), "none");
  EXPECT_EQ(ablation_names().size(), 7u);
  const auto before = some_requests();
  for (const std::string& name : ablation_names()) {
    const auto after = ablate_requests(before, name, 1);
    int64_t moved = 0;
    for (size_t r = 0; r < before.size(); ++r) moved += after[r].now != before[r].now;
    EXPECT_EQ(moved > 0, moves_request_time(name)) << name;
    if (moved > 0) moving.push_back(name);
  }
  EXPECT_EQ(moving, (std::vector<std::string>{"shift-season", "remove-times"}));
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
  for (const std::string& name : ablation_names()) {
    EXPECT_TRUE(ablate_requests(std::span(&request, 1), name, 1)[0].history.empty());
  }
}

}  // namespace
}  // namespace etrlrec
