// What is chosen now: ratios against sums over all events, their place in predictions, and that a
// trend is chosen where there is one and nowhere else.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "eval/mix.h"
#include "eval/trend.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

struct Log {
  Dataset dataset;
  std::vector<bool> is_learned;
};

// 60 users of eight events each; the first five are learned from. Item 6 is chosen late only.
Log made_log(uint64_t seed) {
  Log log;
  log.dataset.catalogue = small_catalogue();  // 7 items
  log.dataset.user_offsets = {0};
  Rng rng(seed, "trend test");
  for (int32_t user = 0; user < 60; ++user) {
    log.dataset.user_ids.push_back("u" + std::to_string(user));
    for (int64_t event = 0; event < 8; ++event) {
      const bool is_late = event >= 5;
      log.dataset.items.push_back(is_late && rng.chance(0.6) ? 6
                                                             : static_cast<int32_t>(rng.below(6)));
      log.dataset.times.push_back(kJanuary +
                                  (10 * event + static_cast<int64_t>(rng.below(10))) * kDay);
      log.is_learned.push_back(!is_late);
    }
    log.dataset.user_offsets.push_back(8 * (user + 1));
  }
  return log;
}

// From the definition.
double slow_factor(const Log& log, const TrendOptions& options, int32_t item, int64_t now) {
  const std::vector<int32_t> title = canonical_items(log.dataset.catalogue);
  double all = options.pseudo_count, learned = options.pseudo_count;
  for (size_t i = 0; i < log.dataset.items.size(); ++i) {
    const int64_t time = log.dataset.times[i];
    if (title[static_cast<size_t>(log.dataset.items[i])] != title[static_cast<size_t>(item)] ||
        time >= now)
      continue;
    const double weight =
        std::exp2(-static_cast<double>(now - time) / kDay / options.half_life_days);
    all += weight;
    if (log.is_learned[i]) learned += weight;
  }
  return std::log(all) - options.power * std::log(learned);
}

TEST(Trend, is_the_ratio_of_counts_that_are_forgotten) {
  Log log = made_log(1);
  log.dataset.catalogue.titles[5] = log.dataset.catalogue.titles[0];
  Trend trend(log.dataset, log.is_learned, {15, 1});
  for (const TrendOptions options :
       {TrendOptions{7, 0.1}, TrendOptions{15, 3}, TrendOptions{15, 3, 0.5}, TrendOptions{7, 1}}) {
    trend.set_options(options);
    for (const int64_t day : {0, 3, 30, 55, 61, 200})
      for (int32_t item = 0; item < 7; ++item)
        EXPECT_NEAR(trend.log_factor(item, kJanuary + day * kDay),
                    slow_factor(log, options, item, kJanuary + day * kDay), 1e-9)
            << day << " " << item;
  }
  EXPECT_THROW(Trend(log.dataset, log.is_learned, {0, 1}), Error);
  EXPECT_THROW(Trend(log.dataset, log.is_learned, {7, 0}), Error);
  EXPECT_THROW(Trend(log.dataset, log.is_learned, {7, 1, 0}), Error);
  EXPECT_THROW(Trend(log.dataset, log.is_learned, {7, 1, 1, 0}), Error);
}

// Every late event as a row among all items, which a model finds equally likely.
struct Asked {
  std::vector<Request> requests;
  Predictions predictions;
};

Asked ask_about_late_events(const Log& log) {
  Asked asked;
  asked.predictions.protocol = "likelihood";
  asked.predictions.num_candidates = 7;
  for (size_t i = 0; i < log.dataset.items.size(); ++i) {
    if (log.is_learned[i]) continue;
    Request& request = asked.requests.emplace_back();
    request.now = log.dataset.times[i];
    for (int32_t item = 0; item < 7; ++item) request.candidates.push_back(item);
    request.target_slot = log.dataset.items[i];
    Prediction& row = asked.predictions.rows.emplace_back();
    row.row = std::ssize(asked.predictions.rows) - 1;
    row.target_slot = request.target_slot;
    set_ranking(row, std::vector<double>(7, 1.0 / 7));
  }
  return asked;
}

TEST(Trend, multiplies_probabilities) {
  const Log log = made_log(2);
  const Asked asked = ask_about_late_events(log);
  const Trend trend(log.dataset, log.is_learned, {30, 1});
  const Predictions found = with_trend(asked.predictions, asked.requests, trend);
  EXPECT_EQ(found.protocol, "likelihood+trend");
  for (size_t r = 0; r < found.rows.size(); ++r) {
    std::vector<double> expected;
    double sum = 0;
    for (int32_t item = 0; item < 7; ++item)
      sum += expected.emplace_back(std::exp(trend.log_factor(item, asked.requests[r].now)));
    for (size_t item = 0; item < 7; ++item)
      EXPECT_NEAR(found.rows[r].scores[item], expected[item] / sum, 1e-6);
  }
  EXPECT_THROW(with_trend(asked.predictions, std::span(asked.requests).first(3), trend), Error);
  // A temperature of 2 takes the square root of all odds.
  const Trend flat(log.dataset, log.is_learned, {30, 1, 1, 2});
  const Predictions flatter = with_trend(asked.predictions, asked.requests, flat);
  for (size_t r = 0; r < found.rows.size(); ++r) {
    const std::vector<float>&a = found.rows[r].scores, &b = flatter.rows[r].scores;
    EXPECT_NEAR(std::pow(b[0] / b[6], 2), a[0] / a[6], 1e-4);
    EXPECT_EQ(found.rows[r].rank, flatter.rows[r].rank);
  }
}

TEST(Trend, of_both_models_stays_in_their_mix) {
  const Log log = made_log(6);
  const Asked asked = ask_about_late_events(log);
  const Trend slow(log.dataset, log.is_learned, {60, 1}), fast(log.dataset, log.is_learned, {7, 1});
  const Predictions first = with_trend(asked.predictions, asked.requests, slow);
  const Predictions second = with_trend(asked.predictions, asked.requests, fast);
  for (const Predictions* one : {&first, &second}) {
    const Predictions mixed = mix_predictions(first, second, one == &first ? 1 : 0);
    EXPECT_EQ(mixed.protocol, "likelihood+trend");
    for (size_t r = 0; r < mixed.rows.size(); ++r) EXPECT_EQ(mixed.rows[r].rank, one->rows[r].rank);
  }
  EXPECT_EQ(mix_predictions(asked.predictions, second, 0.5).protocol, "likelihood+trend");
  EXPECT_EQ(mix_predictions(first, asked.predictions, 0.5).protocol, "likelihood+trend");
}

TEST(Trend, of_a_whole_catalogue_is_the_same) {
  const Log log = made_log(3);
  const Trend trend(log.dataset, log.is_learned, {30, 1});
  FullRows rows;
  rows.tasks.resize(2);
  rows.tasks[0].history.now = kJanuary + 40 * kDay;
  rows.tasks[1].history.now = kJanuary + 75 * kDay;
  const AskCatalogue ask = [](int64_t begin, int64_t end) {
    Predictions out;
    out.protocol = "score";
    for (int64_t row = begin; row < end; ++row) out.rows.emplace_back().scores.assign(7, -1.0f);
    return out;
  };
  const Predictions found = with_trend(ask, rows, trend)(1, 2);
  EXPECT_EQ(found.protocol, "score+trend");
  for (int32_t item = 0; item < 7; ++item)
    EXPECT_NEAR(found.rows[0].scores[static_cast<size_t>(item)],
                trend.log_factor(item, rows.tasks[1].history.now) - 1, 1e-5);
}

TEST(Trend, is_chosen_where_it_helps_and_nowhere_else) {
  Log log = made_log(4);
  Asked asked = ask_about_late_events(log);
  Trend trend(log.dataset, log.is_learned);
  const auto chosen = choose_trend(trend, asked.requests, asked.predictions);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(trend.log_factor(6, asked.requests[0].now),
            Trend(log.dataset, log.is_learned, *chosen).log_factor(6, asked.requests[0].now));
  // No other temperature makes the targets more likely.
  const auto nll = [&](double temperature) {
    TrendOptions options = *chosen;
    options.temperature = temperature;
    const Trend other(log.dataset, log.is_learned, options);
    double sum = 0;
    for (const Prediction& row : with_trend(asked.predictions, asked.requests, other).rows)
      sum -= std::log(row.scores[static_cast<size_t>(row.target_slot)]);
    return sum;
  };
  for (const double factor : {0.8, 1.25})
    EXPECT_LT(nll(chosen->temperature), nll(chosen->temperature * factor));
  // Targets that are drawn anew have nothing to do with the events around them. (Answers that tie
  // would lose to any order: a mean rank of 4 has less ndcg than ranks from 1 to 7.)
  Rng rng(5, "trend test");
  for (size_t r = 0; r < asked.requests.size(); ++r) {
    Prediction& row = asked.predictions.rows[r];
    row.target_slot = asked.requests[r].target_slot = static_cast<int32_t>(rng.below(7));
    std::vector<double> drawn(7);
    for (double& value : drawn) value = 1 + rng.uniform();
    double sum = 0;
    for (const double value : drawn) sum += value;
    for (double& value : drawn) value /= sum;
    set_ranking(row, drawn);
  }
  EXPECT_FALSE(choose_trend(trend, asked.requests, asked.predictions));
}

}  // namespace
}  // namespace etrlrec
