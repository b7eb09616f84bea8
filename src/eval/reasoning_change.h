// What a control has changed in the reasonings of all rows, in sums (method.md G.9.5).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "eval/predictions.h"

namespace etrlrec {

// What became of decisions where the model wrote on below flipped facts. Shares are of all rows, in
// which those without a decision or without a fact that was flipped are unchanged.
struct DecisionChanges {
  int64_t rows_without_decision = 0;
  int64_t rows_without_flip = 0;              // with a decision
  Interval decision_changed, answer_changed;  // shares, bootstrap over users
  Interval own_hit1, hit1;                    // below its own facts, and below the flipped ones
};
struct ReasoningChanges {
  int64_t rows = 0;
  Interval total_variation;            // mean over all rows, bootstrap over users
  int64_t claims = 0, flipped = 0;     // of flipped-claims and flipped-facts
  int64_t flipped_rows = 0;            // rows with a flipped claim
  double flipped_total_variation = 0;  // mean over those rows; 0 without any
  std::optional<DecisionChanges> decisions = std::nullopt;  // of flipped-facts
};
// Nothing for a protocol that changes no reasoning.
std::optional<ReasoningChanges> summarize_changes(const Predictions& predictions,
                                                  uint64_t seed = 42);

// {"rows", "total_variation", "total_variation_low", "total_variation_high"} and, where there were
// claims to flip, {"claims", "flipped", "flipped_rows", "flipped_total_variation"}; of
// flipped-facts the fields of DecisionChanges, too, each interval as three of them.
nlohmann::ordered_json to_json(const ReasoningChanges& changes);
std::string reasoning_changes_text(const ReasoningChanges& changes);  // a line or two for people

}  // namespace etrlrec
