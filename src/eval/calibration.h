// Whether the probabilities of answers keep what they promise: of the answers given with 70 %,
// seven in ten should be right (Guo et al. 2017, "On Calibration of Modern Neural Networks").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace etrlrec {

inline constexpr int kReliabilityBins = 10;

// The answers whose probability is above b / 10 and at most (b + 1) / 10.
struct ReliabilityBin {
  int64_t count = 0;
  double confidence = 0, accuracy = 0;  // means over these answers; 0 without any
};

struct Calibration {
  double ece = 0;                    // mean |confidence - accuracy| of the bins, by their count
  double nll = 0;                    // mean -log p of the targets, in nats
  std::vector<ReliabilityBin> bins;  // [kReliabilityBins]
};

// What a model says about one row: probabilities of its candidates, [n], summing to 1.
struct AnswerProbabilities {
  std::span<const float> values;
  int32_t target = 0;  // slot
};

// The answer of a row is its most probable candidate. Error (kInput) without rows.
Calibration measure_calibration(std::span<const AnswerProbabilities> rows);

// The temperature T, between 0.1 and 10, for which p^(1/T), normalised over the candidates, makes
// the targets most likely. It orders the candidates of a row as before. Error (kInput) without
// rows.
double fit_temperature(std::span<const AnswerProbabilities> rows);

// p^(1/T), normalised.
void apply_temperature(std::span<double> probabilities, double temperature);

}  // namespace etrlrec
