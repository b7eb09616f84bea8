// Probabilities averaged over orders of the candidates.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/check.h"
#include "eval/candidate_orders.h"
#include "eval/protocol.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"
#include "text_model.h"

namespace etrlrec {
namespace {

TEST(CandidateOrders, begin_with_the_stored_one_and_are_all_drawn) {
  using Order = std::vector<int32_t>;
  EXPECT_EQ(candidate_order(4, 1, 7, 0), (Order{0, 1, 2, 3}));
  EXPECT_TRUE(candidate_order(0, 1, 0, 1).empty());
  std::set<Order> orders;
  for (int64_t row = 0; row < 200; ++row) {
    Order order = candidate_order(3, 1, row, 1 + row % 3);
    EXPECT_EQ(candidate_order(3, 1, row, 1 + row % 3), order) << "the same stream, the same order";
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (Order{0, 1, 2}));
  }
  EXPECT_EQ(orders.size(), 6u);
  int32_t differ = 0;
  for (int64_t row = 0; row < 20; ++row)
    differ += candidate_order(20, 1, row, 1) != candidate_order(20, 1, row, 2);
  EXPECT_EQ(differ, 20);
}

TEST(CandidateOrders, take_the_target_with_them) {
  Request request = small_request();  // candidates 1 2 4 6, target in slot 3
  const Request moved = in_order(request, std::vector<int32_t>{2, 3, 0, 1});
  EXPECT_EQ(moved.candidates, (std::vector<int32_t>{4, 6, 1, 2}));
  EXPECT_EQ(moved.target_slot, 1);
  EXPECT_EQ(moved.history, request.history);
  request.target_slot = -1;
  EXPECT_EQ(in_order(request, std::vector<int32_t>{2, 3, 0, 1}).target_slot, -1);
}

class AveragedOrders : public testing::Test {
 protected:
  AveragedOrders() {
    const std::filesystem::path folder =
        std::filesystem::path(testing::TempDir()) / fmt::format("orders_{}", ::getpid());
    train_bpe(catalogue_.titles, {.vocab_size = 280}, folder);
    tokenizer_ = load_tokenizer(folder);
    std::filesystem::remove_all(folder);
    model_ = small_text_model(*tokenizer_, 3);
    requests_[1].history.pop_back();
    requests_[1].times.pop_back();
    requests_[1].target_slot = 0;
    options_.max_reasoning_tokens = 5;
  }
  Predictions ask(std::span<const Request> requests) const {
    return ask_language_model(*model_, {*tokenizer_, catalogue_}, requests, options_);
  }

  const Catalogue catalogue_ = small_catalogue();
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<LanguageModel> model_;
  std::vector<Request> requests_{small_request(), small_request()};
  ProtocolOptions options_;
};

TEST_F(AveragedOrders, are_the_mean_of_single_orders_in_stored_slots) {
  for (const bool by_title : {false, true}) {
    options_.prompt.answer = by_title ? AnswerKind::kTitle : AnswerKind::kNumber;
    options_.prompt.list_candidates = by_title;
    options_.permutations = 3;
    const Predictions found = ask(requests_);
    options_.permutations = 1;
    std::vector<std::vector<double>> expected(2, std::vector<double>(4, 0.0));
    double moved = 0;
    for (int64_t order = 0; order < 3; ++order)
      for (size_t r = 0; r < 2; ++r) {
        const auto slots = candidate_order(4, options_.seed, static_cast<int64_t>(r), order);
        const Request reordered = in_order(requests_[r], slots);
        const Prediction one = ask({&reordered, 1}).rows[0];
        for (size_t k = 0; k < 4; ++k)
          expected[r][static_cast<size_t>(slots[k])] += static_cast<double>(one.scores[k]) / 3;
        for (size_t k = 0; k < 4; ++k)
          moved = std::max(moved, std::abs(static_cast<double>(one.scores[k]) -
                                           expected[r][static_cast<size_t>(slots[k])]));
      }
    EXPECT_GT(moved, 0.01) << "orders change nothing: the test shows nothing";
    const Predictions stored = ask(requests_);
    for (size_t r = 0; r < 2; ++r) {
      for (size_t k = 0; k < 4; ++k)
        EXPECT_NEAR(found.rows[r].scores[k], expected[r][k], 1e-5) << by_title << r << k;
      EXPECT_EQ(found.rows[r].target_slot, requests_[r].target_slot);
      EXPECT_EQ(found.rows[r].reasoning, stored.rows[r].reasoning) << "of the stored order";
    }
  }
}

TEST_F(AveragedOrders, of_several_reasonings_are_distributions) {
  options_.permutations = 2;
  options_.reasonings = 3;
  const Predictions both = ask(requests_);
  options_.permutations = 1;
  const Predictions one = ask(requests_);
  for (size_t r = 0; r < 2; ++r) {
    double sum = 0;
    for (const float score : both.rows[r].scores) sum += static_cast<double>(score);
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_NE(both.rows[r].scores, one.rows[r].scores);
  }
}

TEST_F(AveragedOrders, are_refused_where_prompts_do_not_show_candidates) {
  options_.permutations = 2;
  options_.prompt.answer = AnswerKind::kTitle;
  try {
    ask(requests_);
    FAIL() << "nothing could change";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("their order changes nothing"), std::string::npos);
  }
  EXPECT_NO_THROW(check_orders(options_.prompt, 1));
  EXPECT_THROW(check_orders({}, 0), Error);
}

}  // namespace
}  // namespace etrlrec
