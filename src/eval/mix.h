// Two models mixed on the same candidates: weight * log p_first + (1 - weight) * log p_second. The
// floor that every hybrid of a language model and a recommender has to beat.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/predictions.h"

namespace etrlrec {

// Of protocols whose probabilities follow what is chosen lately (eval/trend.h).
inline constexpr const char* kTrendSuffix = "+trend";

// log p of a row's candidates, [n]: scores are probabilities with the protocol "likelihood" and
// with a trend, logits with "score". Error (kUsage): another protocol.
std::vector<double> log_probabilities(const Prediction& row, const std::string& protocol);
// Of logits, [n].
std::vector<double> softmax(std::vector<double> logits);

// Predictions of `first` with the ranks, answers and scores (probabilities among the candidates) of
// the mix. `second` holds the same rows in the same order (kInput). Errors (kUsage): predictions
// of a protocol without probabilities.
Predictions mix_predictions(const Predictions& first, const Predictions& second, double weight);

// The weights that are tried: 0, 0.05 … 1, and the one of the largest sum, the last of equals.
std::vector<double> mix_weights();
double best_mix_weight(std::span<const double> sums);

// The weight of `first` among mix_weights() whose mix has the best ndcg@10. For validation rows.
double choose_mix_weight(const Predictions& first, const Predictions& second);

}  // namespace etrlrec
