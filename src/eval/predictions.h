// What a model said about every row of a candidate set: the exchange format between evaluate, compare and the report
// (predictions.jsonl, docs/formats.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "eval/metrics.h"

namespace etrlrec {

struct Prediction {
  int64_t row = 0;
  int32_t user = 0;
  int32_t target_slot = 0;
  double rank = 0;                               // of the target under the protocol
  bool valid = true;
  std::vector<float> scores;                     // [n] per candidate slot; empty for generated-answer protocols
  int32_t answer = 0;                            // 1-based first answer, 0 none
  std::string reasoning;
};

struct Predictions {
  std::string model, stage, protocol;            // protocol is part of the metric's name
  std::string candidates_hash;                   // tables refuse to mix different ones
  int32_t num_candidates = 0;
  uint64_t seed = 0;
  std::vector<Prediction> rows;
};

struct MetricRow {
  std::string model, stage, protocol;
  int64_t n = 0;
  Interval hit1;
  double hit5 = 0, hit10 = 0, ndcg5 = 0, ndcg10 = 0, mrr = 0, valid_ratio = 0;
  std::vector<double> hit1_by_slot;
};
MetricRow summarize(const Predictions& predictions, uint64_t seed = 42);
void save_predictions(const Predictions& predictions, const std::filesystem::path& path);
Predictions load_predictions(const std::filesystem::path& path);

}  // namespace etrlrec
