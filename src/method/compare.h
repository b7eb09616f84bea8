// Evaluated runs side by side, with paired tests on the same rows.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "eval/predictions.h"

namespace etrlrec {

struct CompareOptions {
  std::vector<std::string> runs;  // folders of evaluate, or predictions.jsonl files
  int64_t draws = 10000;          // of the bootstrap
  bool force = false;             // compare different protocols all the same
  uint64_t seed = 42;
};

struct ComparedRuns {
  std::vector<MetricRow> rows;    // in the order of the runs
  std::vector<Comparison> pairs;  // every later run against every earlier one, Holm over all
};

// Error (kUsage) for runs on other candidate rows, or under other protocols without `force`.
ComparedRuns compare_runs(const CompareOptions& options);
nlohmann::ordered_json to_json(const ComparedRuns& compared);  // docs/formats.md
// The table, for the terminal or as rows of a LaTeX table, and a line for each pair.
std::string format_comparison(const ComparedRuns& compared, bool latex = false);

}  // namespace etrlrec
