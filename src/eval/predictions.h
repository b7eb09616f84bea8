// What a model said about every row of a candidate set: the exchange format between evaluate,
// compare and the report (predictions.jsonl, docs/formats.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/calibration.h"
#include "eval/metrics.h"
#include "eval/significance.h"

namespace etrlrec {

// What a control has changed in the reasoning that a model wrote (eval/reasoning_controls.h).
enum class DecisionChange : int8_t { kNotAsked, kNone, kKept, kChanged };
struct ReasoningChange {
  int32_t claims = 0, flipped = 0;  // true claims that could be flipped, and those that were
  float total_variation = 0;        // of the answer's probabilities, 1/2 sum |p - q|
  // Where the model wrote on (flipped-facts): what became of its decision, none where it decided
  // nothing; whether its first answer is another one; whether that was the target before.
  DecisionChange decision = DecisionChange::kNotAsked;
  bool answer_changed = false, own_hit = false;
};

struct Prediction {
  int64_t row = 0;
  int32_t user = 0;
  int32_t target_slot = 0;
  double rank = 0;  // of the target under the protocol, in [1, n]; n + 1: never named
  bool valid = true;
  std::vector<float> scores;  // [n] per candidate slot; empty for generated-answer protocols
  int32_t answer = 0;         // 1-based first answer, 0 none
  std::string reasoning;
  std::optional<ReasoningChange> change = std::nullopt;
};

// Gives the prediction the scores of all candidates, the target's mean rank among them and the best
// one as the answer.
void set_ranking(Prediction& prediction, std::span<const double> scores);

struct Predictions {
  std::string model, stage, protocol;  // protocol is part of the metric's name
  std::string candidates_hash;         // tables refuse to mix different ones
  int32_t num_candidates = 0;
  uint64_t seed = 0;
  std::vector<Prediction> rows;
};

struct MetricRow {
  std::string model, stage, protocol;
  int64_t n = 0;
  Interval hit1;  // bootstrap over users
  double hit5 = 0, hit10 = 0, ndcg5 = 0, ndcg10 = 0, mrr = 0, valid_ratio = 0;
  std::vector<double> hit1_by_slot;  // [num_candidates]; NaN where no target stood in the slot
  std::optional<Calibration> calibration;  // of protocols whose scores are probabilities
};
// Probabilities of every row's candidates as views of its scores. None for protocols whose scores
// are something else (logits, log-likelihoods, none).
std::optional<std::vector<AnswerProbabilities>> answer_probabilities(
    const Predictions& predictions);
// A rank beyond n (never named) counts 0 in every metric. Errors (kInput) without rows.
MetricRow summarize(const Predictions& predictions, uint64_t seed = 42);

// First against second on the same rows of the same candidates; refuses others (kInput).
struct Comparison {
  std::string first, second;                       // "model / stage"
  std::string protocol;                            // both when they differ
  int64_t n = 0, only_first = 0, only_second = 0;  // hits at 1 of one model only
  PairedResult hit1;         // difference and interval by bootstrap over users, p by exact McNemar
  PairedResult ndcg10;       // bootstrap over users
  double hit1_adjusted = 1;  // Holm over the family, set by adjust_comparisons
  double discordance = 0;    // of hits at 1: share of the rows, of several seeds the mean square
                             // of the difference of a row's mean hits
  std::optional<int64_t> rows_needed = std::nullopt;  // rows_for_power of hit1 (significance.h)
};
Comparison compare_predictions(const Predictions& first, const Predictions& second,
                               int64_t draws = 10'000, uint64_t seed = 42);
void adjust_comparisons(std::vector<Comparison>& family);

// JSON Lines: a header object, then one object per row. Bytes of `reasoning` that are no UTF-8 are
// written as U+FFFD. Saving checks what loading checks: ranks, slots, finite scores of the right
// number, unique rows (kInput, path:line).
void save_predictions(const Predictions& predictions, const std::filesystem::path& path);
Predictions load_predictions(const std::filesystem::path& path);

}  // namespace etrlrec
