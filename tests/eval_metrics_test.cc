// Ranking metrics and significance against golden numbers, published vectors and closed forms.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/json.h"
#include "eval/metrics.h"
#include "eval/significance.h"
#include "golden_path.h"

namespace etrlrec {
namespace {

const std::filesystem::path kGolden = golden_path() / "metrics/golden.json";

TEST(Metrics, ranks_and_metrics_equal_the_golden_numbers_with_ties) {
  const Json golden = read_json(kGolden).at("single_target");
  for (size_t u = 0; u < golden.at("scores").size(); ++u) {
    const int64_t target = golden.at("target")[u];
    std::vector<double> kept;  // the allowed items, target first
    kept.push_back(golden.at("scores")[u][target]);
    for (size_t i = 0; i < golden.at("scores")[u].size(); ++i) {
      if (static_cast<int64_t>(i) != target && golden.at("allowed")[u][i] == 1)
        kept.push_back(golden.at("scores")[u][i]);
    }
    const double rank = mean_rank(kept, 0);
    EXPECT_EQ(rank, golden.at("per_user")[u].at("ranks").at("average").get<double>());
    const Json& expected = golden.at("per_user")[u].at("average");
    EXPECT_NEAR(reciprocal_rank(rank), expected.at("mrr").get<double>(), 1e-12);
    for (const int64_t k : {1, 3, 5, 10, 20}) {
      EXPECT_EQ(hit_at(rank, k), expected.at(fmt::format("hr@{}", k)).get<double>());
      EXPECT_NEAR(ndcg_at(rank, k), expected.at(fmt::format("ndcg@{}", k)).get<double>(), 1e-12);
    }
  }
}

TEST(Metrics, bootstrap_summary_equals_the_golden_numbers) {
  const Json golden = read_json(kGolden).at("paired_bootstrap");
  const auto a = golden.at("a").get<std::vector<double>>(),
             b = golden.at("b").get<std::vector<double>>();
  std::vector<double> resampled;
  for (const auto& index : golden.at("index")) {
    double sum = 0;
    for (const size_t i : index) sum += a[i] - b[i];
    resampled.push_back(sum / static_cast<double>(index.size()));
  }
  const double mean = golden.at("mean_difference");
  const PairedResult result = summarize_resamples(mean, resampled);
  EXPECT_NEAR(result.low, golden.at("percentile_interval").at("0.95")[0].get<double>(), 1e-12);
  EXPECT_NEAR(result.high, golden.at("percentile_interval").at("0.95")[1].get<double>(), 1e-12);
  EXPECT_NEAR(result.p_value, golden.at("p_two_sided").get<double>(), 1e-12);
  const PairedResult own =
      paired_bootstrap(a, b, {}, 20'000, 1);  // another stream: sampling error only
  EXPECT_NEAR(own.difference, mean, 1e-12);
  EXPECT_NEAR(own.low, result.low, 0.02);
  EXPECT_NEAR(own.high, result.high, 0.02);
  EXPECT_NEAR(own.p_value, result.p_value, 0.05);
}

TEST(Metrics, random_level_equals_the_published_table) {
  const RandomLevel level = random_level(25);
  EXPECT_NEAR(level.hit1, 0.04, 1e-12);
  EXPECT_NEAR(level.hit5, 0.2, 1e-12);
  EXPECT_NEAR(level.hit10, 0.4, 1e-12);
  EXPECT_NEAR(level.ndcg5, 0.1179, 5e-5);
  EXPECT_NEAR(level.ndcg10, 0.1817, 5e-5);
  EXPECT_NEAR(random_level(15).ndcg10, 0.3029, 5e-5);
  EXPECT_NEAR(random_level(20).ndcg5, 0.1474, 5e-5);
  EXPECT_NEAR(random_level(100).ndcg10, 0.0454, 5e-5);
  EXPECT_NEAR(random_level(2).mrr, 0.75, 1e-12);
}

TEST(Metrics, elimination_rounds_are_discounted_like_ranks) {
  EXPECT_NEAR(ndcg_at(1, 10), 1, 1e-12);
  EXPECT_NEAR(ndcg_at(2, 10), 0.6309, 5e-5);
  EXPECT_NEAR(ndcg_at(3, 10), 0.5, 1e-12);
  EXPECT_EQ(ndcg_at(11, 10), 0);
}

TEST(Metrics, all_tied_scores_have_the_middle_rank) {
  EXPECT_EQ(mean_rank(std::vector<double>(20, 0.5), 3), 10.5);
  EXPECT_EQ(mean_rank(std::vector<double>{3, 1, 3, 2}, 0), 1.5);
}

TEST(Metrics, infinite_rank_scores_nothing) {
  const double never = std::numeric_limits<double>::infinity();
  EXPECT_EQ(hit_at(never, 10) + ndcg_at(never, 10) + reciprocal_rank(never), 0);
}

TEST(Metrics, refuse_nan_scores_and_targets_outside) {
  EXPECT_THROW(mean_rank(std::vector<double>{1, std::nan("")}, 0), Error);
  EXPECT_THROW(mean_rank(std::vector<double>{1, 2}, 2), Error);
  EXPECT_THROW(mean_rank(std::vector<double>{1, 2}, -1), Error);
  EXPECT_THROW(random_level(0), Error);
}

TEST(Significance, bootstrap_interval_has_the_width_of_the_normal_approximation) {
  std::vector<double> values(5000, 0);
  std::fill(values.begin(), values.begin() + 2000, 1);  // p = .4: half-width .0136
  const Interval interval = bootstrap_mean(values, {}, 2000, 3);
  EXPECT_DOUBLE_EQ(interval.mean, 0.4);
  EXPECT_NEAR(interval.high - interval.mean, 0.0136, 0.001);
  EXPECT_NEAR(interval.mean - interval.low, 0.0136, 0.001);
}

TEST(Significance, clusters_widen_the_interval_of_repeated_rows) {
  std::vector<double> values;
  std::vector<int64_t> clusters;
  for (int64_t user = 0; user < 100; ++user) {
    for (int row = 0; row < 9; ++row) {
      values.push_back(user % 2 == 0 ? 1 : 0);
      clusters.push_back(1000 - user);
    }
  }
  const Interval rows = bootstrap_mean(values, {}, 2000, 1),
                 users = bootstrap_mean(values, clusters, 2000, 1);
  EXPECT_NEAR((users.high - users.low) / (rows.high - rows.low), 3, 0.3);
  EXPECT_DOUBLE_EQ(users.mean, 0.5);
}

TEST(Significance, same_seed_gives_the_same_interval) {
  const std::vector<double> values = {0, 1, 1, 0, 1, 0.5, 0.25};
  EXPECT_EQ(bootstrap_mean(values, {}, 500, 9).low, bootstrap_mean(values, {}, 500, 9).low);
  EXPECT_NE(bootstrap_mean(values, {}, 500, 9).low, bootstrap_mean(values, {}, 500, 10).low);
}

TEST(Significance, equal_models_have_p_one_and_clear_winners_the_smallest_p) {
  const std::vector<double> a = {0.1, 0.9, 0.4, 0.3};
  EXPECT_EQ(paired_bootstrap(a, a, {}, 1000, 1).p_value, 1);
  const std::vector<double> better = {0.5, 1.0, 0.9, 0.8};
  EXPECT_DOUBLE_EQ(paired_bootstrap(better, a, {}, 1000, 1).p_value, 0.001);
}

TEST(Significance, mcnemar_equals_the_binomial_tail) {
  EXPECT_NEAR(mcnemar_exact(1, 9), 2 * (1 + 10) / 1024.0, 1e-12);
  EXPECT_NEAR(mcnemar_exact(9, 1), mcnemar_exact(1, 9), 1e-15);
  EXPECT_NEAR(mcnemar_exact(0, 6), 2 / 64.0, 1e-12);
  EXPECT_EQ(mcnemar_exact(5, 5), 1);
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_NEAR(mcnemar_exact(500, 620), 0.000372413755544, 1e-13);
}

// The numbers of method.md F.4: discordance .3.
TEST(Significance, power_equals_the_published_table) {
  EXPECT_NEAR(detectable_difference(0.3, 283), 0.091, 5e-4);
  EXPECT_NEAR(detectable_difference(0.3, 5000), 0.022, 5e-4);
  EXPECT_NEAR(detectable_difference(0.3, 20000), 0.011, 5e-4);
  EXPECT_NEAR(detectable_difference(0.3, 283), 2.8 * std::sqrt(0.3 / 283), 1e-15);
  const struct {
    double difference, discordance;
    int64_t rows;
  } cases[] = {{0.1, 0.3, 236}, {-0.1, 0.3, 236}, {0.05, 0.2, 628},
               {0.1, 1, 784},   {1, 1, 8},        {0.011, 0.3, 19439}};
  for (const auto& c : cases) {
    EXPECT_EQ(rows_for_power(c.difference, c.discordance), c.rows) << c.difference;
    // So many rows show it, one less does not.
    EXPECT_LE(detectable_difference(c.discordance, c.rows), std::abs(c.difference) + 1e-12);
    EXPECT_GT(detectable_difference(c.discordance, c.rows - 1), std::abs(c.difference));
  }
  EXPECT_EQ(rows_for_power(0, 0.3), std::nullopt);
  EXPECT_EQ(rows_for_power(1e-12, 0.3), std::nullopt) << "no number of rows";
  EXPECT_THROW(rows_for_power(std::nan(""), 0.3), Error);
  EXPECT_THROW(rows_for_power(0.1, 1.1), Error);
  EXPECT_THROW(detectable_difference(0.3, 0), Error);
}

TEST(Significance, seeds_are_a_second_level) {
  // Rows agree, seeds do not: two draws of two seeds give 0, .5 and 1 with 1/4, 1/2, 1/4.
  const SeedValues of_seeds = {{1, 1, 1}, {0, 0, 0}};
  const Interval between = bootstrap_seeds(of_seeds, {}, 4000, 1);
  EXPECT_DOUBLE_EQ(between.mean, 0.5);
  EXPECT_EQ(between.low, 0);
  EXPECT_EQ(between.high, 1);
  // Seeds agree, rows do not: the interval of the rows.
  std::vector<double> rows(400, 0);
  std::fill(rows.begin(), rows.begin() + 160, 1);
  const Interval one = bootstrap_mean(rows, {}, 4000, 1),
                 same = bootstrap_seeds({rows, rows, rows}, {}, 4000, 1);
  EXPECT_DOUBLE_EQ(same.mean, 0.4);
  EXPECT_NEAR(same.high - same.low, one.high - one.low, 0.005);
  EXPECT_EQ(bootstrap_seeds({rows}, {}, 500, 1).low, bootstrap_mean(rows, {}, 500, 1).low);
  // Both: a pair with the same rows loses their variance, not that of the seeds.
  const SeedValues shifted = {rows, std::vector<double>(400, 0.5)};
  const PairedResult paired = paired_seeds(shifted, shifted, {}, 4000, 1);
  EXPECT_DOUBLE_EQ(paired.difference, 0);
  EXPECT_LT(paired.low, -0.04);
  EXPECT_GT(paired.high, 0.04);
  const PairedResult still = paired_seeds({rows, rows}, {rows, rows}, {}, 500, 1);
  EXPECT_EQ(still.low, 0);
  EXPECT_EQ(still.high, 0);
  EXPECT_EQ(still.p_value, 1);
  // One seed on each side: the test of rows alone, bit by bit.
  std::vector<double> other = rows;
  other[399] = 1;
  EXPECT_EQ(paired_seeds({rows}, {other}, {}, 500, 3).low,
            paired_bootstrap(rows, other, {}, 500, 3).low);
  EXPECT_NEAR(paired_seeds({rows, rows}, {other}, {}, 500, 3).difference, -1.0 / 400, 1e-12);
  EXPECT_THROW(bootstrap_seeds({}, {}, 10, 1), Error);
  EXPECT_THROW(bootstrap_seeds({{1, 0}, {1}}, {}, 10, 1), Error);
  EXPECT_THROW(paired_seeds({{1, 0}, {1, 1}}, {{1}}, {}, 10, 1), Error);
}

TEST(Significance, holm_steps_down_and_keeps_the_order) {
  const std::vector<double> adjusted = holm(std::vector<double>{0.04, 0.01, 0.03, 0.5});
  const std::vector<double> expected = {0.09, 0.04, 0.09, 0.5};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-12);
  EXPECT_TRUE(holm({}).empty());
}

TEST(Significance, refuses_unpaired_empty_and_non_finite_input) {
  const std::vector<double> two = {1, 2}, three = {1, 2, 3}, bad = {1, std::nan("")};
  const std::vector<int64_t> one = {1};
  EXPECT_THROW(paired_bootstrap(two, three, {}, 10, 1), Error);
  EXPECT_THROW(bootstrap_mean({}, {}, 10, 1), Error);
  EXPECT_THROW(bootstrap_mean(two, one, 10, 1), Error);
  EXPECT_THROW(bootstrap_mean(bad, {}, 10, 1), Error);
  EXPECT_THROW(bootstrap_mean(two, {}, 0, 1), Error);
  EXPECT_THROW(mcnemar_exact(-1, 2), Error);
  EXPECT_THROW(holm(std::vector<double>{1.5}), Error);
}

}  // namespace
}  // namespace etrlrec
