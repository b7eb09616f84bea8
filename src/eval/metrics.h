// Ranking metrics as pure functions on ranks, significance tests, intervals. Ties count by their mean rank.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace etrlrec {

// Rank of `target` among scores: 1 + #{better} + half the number of other equals.
double mean_rank(std::span<const double> scores, int64_t target);
double hit_at(double rank, int64_t k);            // 1 when rank <= k
double ndcg_at(double rank, int64_t k);           // 1 / log2(1 + rank) when rank <= k
double reciprocal_rank(double rank);
struct RandomLevel { double hit1, hit5, hit10, ndcg5, ndcg10, mrr; };
RandomLevel random_level(int64_t num_candidates);

struct Interval { double mean = 0, low = 0, high = 0; };
// Percentile bootstrap of the mean; with clusters (e.g. users) whole clusters are drawn.
Interval bootstrap_mean(std::span<const double> values, std::span<const int64_t> clusters, int64_t draws, uint64_t seed);
// Paired tests on the same rows.
double mcnemar_exact(int64_t only_first, int64_t only_second);                    // two-sided p
struct PairedResult { double difference = 0, low = 0, high = 0, p_value = 1; };
PairedResult paired_bootstrap(std::span<const double> first, std::span<const double> second,
                              std::span<const int64_t> clusters, int64_t draws, uint64_t seed);
std::vector<double> holm(std::span<const double> p_values);                       // adjusted, input order

}  // namespace etrlrec
