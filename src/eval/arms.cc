#include "eval/arms.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr int64_t kArmDraws = 2000;

// Hits and gains of the rows of `order`, [seeds, rows].
struct ArmValues {
  SeedValues hits, ndcg;
  std::vector<int64_t> users;  // [rows]
};

std::string arm_label(std::span<const Predictions> seeds) {
  const Predictions& first = seeds[0];
  const std::string name =
      first.stage.empty() ? first.model : fmt::format("{} / {}", first.model, first.stage);
  return seeds.size() == 1 ? name : fmt::format("{}, {} seeds", name, seeds.size());
}

ArmValues values_of(std::span<const Predictions> seeds, const Predictions& order) {
  ArmValues values;
  for (const Prediction& row : order.rows) values.users.push_back(row.user);
  for (const Predictions& run : seeds) {
    CHECK(run.candidates_hash == order.candidates_hash, kInput,
          "{}: expected the same candidates, found hashes {} and {}\nhint: evaluate all on one "
          "candidate file",
          arm_label(seeds), order.candidates_hash, run.candidates_hash);
    CHECK(run.rows.size() == order.rows.size(), kInput, "{}: expected {} rows, found {}",
          arm_label(seeds), order.rows.size(), run.rows.size());
    std::unordered_map<int64_t, const Prediction*> by_row;
    for (const Prediction& row : run.rows) by_row[row.row] = &row;
    std::vector<double>& hits = values.hits.emplace_back();
    std::vector<double>& ndcg = values.ndcg.emplace_back();
    for (const Prediction& row : order.rows) {
      const auto found = by_row.find(row.row);
      CHECK(found != by_row.end(), kInput, "{}: row {} is missing", arm_label(seeds), row.row);
      const Prediction& own = *found->second;
      CHECK(own.user == row.user && own.target_slot == row.target_slot, kInput,
            "{}: row {}: expected the user and target of the others, found another one",
            arm_label(seeds), row.row);
      hits.push_back(hit_at(own.rank, 1));
      ndcg.push_back(own.rank <= run.num_candidates ? ndcg_at(own.rank, 10) : 0);
    }
  }
  return values;
}

double sample_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double seed_mean(const SeedValues& values, size_t row) {
  double sum = 0;
  for (const std::vector<double>& of_seed : values) sum += of_seed[row];
  return sum / static_cast<double>(values.size());
}

}  // namespace

ArmSummary summarize_arm(std::span<const Predictions> seeds, uint64_t seed) {
  CHECK(!seeds.empty(), kInput, "arm: expected predictions of at least one seed, found none");
  if (seeds.size() == 1) return {summarize(seeds[0], seed)};
  const ArmValues values = values_of(seeds, seeds[0]);
  ArmSummary arm;
  arm.seeds = std::ssize(seeds);
  std::vector<double> hit1, ndcg10;
  const auto share = 1 / static_cast<double>(seeds.size());
  for (const Predictions& run : seeds) {
    const MetricRow row = summarize(run, seed);
    hit1.push_back(row.hit1.mean);
    ndcg10.push_back(row.ndcg10);
    arm.row.n = row.n;
    for (double MetricRow::*metric : {&MetricRow::hit5, &MetricRow::hit10, &MetricRow::ndcg5,
                                      &MetricRow::ndcg10, &MetricRow::mrr, &MetricRow::valid_ratio})
      arm.row.*metric += share * (row.*metric);
  }
  arm.row.model = fmt::format("{}, {} seeds", seeds[0].model, seeds.size());
  arm.row.stage = seeds[0].stage;
  arm.row.protocol = seeds[0].protocol;
  arm.row.hit1 = bootstrap_seeds(values.hits, values.users, kArmDraws, seed);
  arm.hit1_sd = sample_deviation(hit1);
  arm.ndcg10_sd = sample_deviation(ndcg10);
  return arm;
}

Comparison compare_arms(std::span<const Predictions> first, std::span<const Predictions> second,
                        int64_t draws, uint64_t seed) {
  CHECK(!first.empty() && !second.empty(), kInput,
        "arm: expected predictions of at least one seed, found none");
  if (first.size() == 1 && second.size() == 1)
    return compare_predictions(first[0], second[0], draws, seed);
  const ArmValues a = values_of(first, first[0]), b = values_of(second, first[0]);
  CHECK(!a.users.empty(), kInput, "{}: expected at least one row, found none", arm_label(first));
  Comparison result;
  result.first = arm_label(first);
  result.second = arm_label(second);
  result.protocol = first[0].protocol == second[0].protocol
                        ? first[0].protocol
                        : first[0].protocol + " | " + second[0].protocol;
  result.n = std::ssize(a.users);
  for (size_t row = 0; row < a.users.size(); ++row) {
    const double difference = seed_mean(a.hits, row) - seed_mean(b.hits, row);
    result.only_first += difference > 0;
    result.only_second += difference < 0;
    result.discordance += difference * difference / static_cast<double>(result.n);
  }
  result.hit1 = paired_seeds(a.hits, b.hits, a.users, draws, seed);
  result.hit1_adjusted = result.hit1.p_value;
  result.ndcg10 = paired_seeds(a.ndcg, b.ndcg, a.users, draws, seed);
  result.rows_needed = rows_for_power(result.hit1.difference, result.discordance);
  return result;
}

}  // namespace etrlrec
