// Items that were never read: their share by time, and probabilities from the definition.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "eval/new_items.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

TEST(NewItems, a_title_counts_once_and_is_read_where_an_item_of_it_is) {
  Catalogue catalogue = small_catalogue();  // 7 items
  catalogue.titles[5] = catalogue.titles[0];
  catalogue.titles[4] = catalogue.titles[3];
  const NewItems found =
      new_items(catalogue, {true, true, true, false, false, false, false}, {0, 0.1, 0, 1});
  EXPECT_EQ(found.is_new, (std::vector<bool>{false, false, false, true, true, false, true}));
  EXPECT_EQ(found.count, 2);
}

// Scores i of item i, whatever the history is.
class Rising : public Recommender {
 public:
  std::string name() const override { return "rising"; }
  int64_t num_items() const override { return 4; }
  at::Tensor score(std::span<const HistoryView> histories) const override {
    return at::arange(4, at::kFloat).repeat({std::ssize(histories), 1});
  }
  void save(const std::filesystem::path&) const override {}
};

TEST(NewItems, get_their_share_of_a_recommenders_probabilities) {
  const NewItems items{{0.2, 0, 1000, 5}, {false, true, true, false}, 2};
  const std::vector<double> softmax = {0.0320586, 0.0871443, 0.2368828, 0.6439143};
  const auto recommender =
      with_new_items(std::make_unique<Rising>(), std::make_shared<const NewItems>(items));
  const HistoryView early{{}, {}, 1000}, late{{}, {}, 1000 + kDay};
  const at::Tensor scores = recommender->score(std::vector{early, late});
  for (int64_t item = 0; item < 4; ++item) {
    const double expected = items.is_new[static_cast<size_t>(item)]
                                ? 0.2 / 2
                                : 0.8 * softmax[static_cast<size_t>(item)];
    EXPECT_NEAR(scores[0][item].item<double>(), std::log(softmax[static_cast<size_t>(item)]), 1e-5);
    EXPECT_NEAR(scores[1][item].item<double>(), std::log(expected), 1e-5);
  }
  EXPECT_EQ(with_new_items(std::make_unique<Rising>(), nullptr)
                ->score(std::vector{late})[0][3]
                .item<double>(),
            3);
}

// Days since the reading and whether the target is new, as rows.
std::optional<NewItemRate> rate_of(const std::vector<std::pair<double, bool>>& rows) {
  std::vector<int32_t> targets;
  std::vector<int64_t> times;
  for (const auto& [days, is_new] : rows) {
    targets.push_back(is_new);
    times.push_back(1000 + static_cast<int64_t>(days * kDay));
  }
  return new_item_rate(targets, times, {false, true}, 1000);
}

TEST(NewItems, have_the_rate_of_the_line_through_the_rows) {
  // One in four after two days, three in four after six; what comes before the end says nothing.
  const auto rate = rate_of({{2, true},
                             {2, false},
                             {2, false},
                             {2, false},
                             {6, true},
                             {6, true},
                             {6, true},
                             {6, false},
                             {-1, true},
                             {0, false}});
  ASSERT_TRUE(rate.has_value());
  EXPECT_NEAR(rate->at_once, 0.0, 1e-12);
  EXPECT_NEAR(rate->per_day, 0.125, 1e-12);
  EXPECT_EQ(rate->since, 1000);
  EXPECT_DOUBLE_EQ(rate->most_days, 6);
  const auto steep = rate_of({{2, false}, {4, true}});  // would begin at -1
  EXPECT_DOUBLE_EQ(steep->at_once, 0);
  EXPECT_DOUBLE_EQ(steep->per_day, 4.0 / 20);
  const auto falling = rate_of({{2, true}, {4, false}});
  EXPECT_DOUBLE_EQ(falling->at_once, 0.5);
  EXPECT_DOUBLE_EQ(falling->per_day, 0);
  EXPECT_DOUBLE_EQ(rate_of({{3, true}, {3, false}})->at_once, 0.5);
  EXPECT_FALSE(rate_of({{2, false}, {4, false}}).has_value());
  EXPECT_FALSE(rate_of({{-2, true}, {0, true}}).has_value());
}

TEST(NewItems, share_the_probability_that_time_gives_them) {
  const NewItems items{{0, 0.01, 0, 60}, {false, false, true, true, true}, 3};
  EXPECT_DOUBLE_EQ(items.share(-kDay), 0);
  EXPECT_DOUBLE_EQ(items.share(20 * kDay), 0.2);
  EXPECT_DOUBLE_EQ(items.share(90 * kDay), kMostNewShare);
  EXPECT_DOUBLE_EQ((NewItems{{0.1, 0.01, 0, 30}, {true}, 1}.share(90 * kDay)), 0.4);
  const std::vector<int32_t> candidates = {0, 1, 2, 3};
  const std::vector<double> logprobs = {std::log(0.5), std::log(0.1), -80, -60};
  // What is read keeps .8 of its probability, a new title has .2 / 3, whatever its spelling.
  const std::vector<double> p = items.probabilities(candidates, logprobs, 20 * kDay);
  const double sum = 0.4 + 0.08 + 2 * 0.2 / 3;
  const double expected[] = {0.4 / sum, 0.08 / sum, 0.2 / 3 / sum, 0.2 / 3 / sum};
  for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(p[k], expected[k], 1e-12) << k;
  // At the end of the reading nothing is new yet: spelling decides.
  const std::vector<double> plain = items.probabilities(candidates, logprobs, 0);
  EXPECT_NEAR(plain[0], 5.0 / 6, 1e-12);
  EXPECT_NEAR(plain[3], std::exp(-60) / 0.6, 1e-30);
}

}  // namespace
}  // namespace etrlrec
