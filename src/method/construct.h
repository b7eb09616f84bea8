// Stage 1 of the method (method.md G.2): facts and teacher reasoning for the training rows of a
// data set, filtered by the verifier. Every row has a random stream of its own and is written to a
// part file as soon as its batch is done, so a stopped run continues to the same result.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace etrlrec {

// Stage 1: teacher reasoning for the training rows of a data set, filtered (method.md G.2).
// Writes reasoning.jsonl, claim_weights.json, statistics.json, construct.json.
struct ConstructOptions {
  std::string data, out;
  std::string teacher = "program";
  int32_t draws = 4, hinted_draws = 2;
  std::string hint_policy =
      "fallback";  // fallback: hinted draws only where all others were rejected | never | always
  double temperature = 1.0;
  bool filter_answer = true;   // only draws that answer with the target are kept
  double min_precision = 0.9;  // of the claims
  int32_t max_per_row = 1;     // kept draws of one row, all different
  int32_t max_history = 8;
  bool with_times = true;  // false: no claim about gaps or the season
  int64_t limit = 0;       // rows, 0: all
  uint64_t seed = 42;
};
struct ConstructSummary {
  int64_t rows = 0, rows_kept = 0, draws = 0, kept = 0, hinted = 0;
  std::map<std::string, int64_t> rejected;  // by the first filter that refused
};
ConstructSummary construct(const ConstructOptions& options);

nlohmann::ordered_json to_json(const ConstructSummary& summary);

}  // namespace etrlrec
