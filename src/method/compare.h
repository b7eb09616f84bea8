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
  std::string data{};             // data set folder, for slices; empty: none
  std::string candidates{};  // with data, the file of the rows; empty: its candidates-test.jsonl
  uint64_t seed = 42;
};

// The same of a part of the rows (method/slices.h).
struct ComparedSlice {
  std::string name;
  std::vector<MetricRow> rows;
  std::vector<Comparison> pairs;  // Holm over the pairs of all slices
};
struct ComparedRuns {
  std::vector<MetricRow> rows;    // in the order of the runs
  std::vector<Comparison> pairs;  // every later run against every earlier one, Holm over all
  std::vector<ComparedSlice> slices;
};

// Error (kUsage) for runs on other candidate rows than each other's or the file's, or under other
// protocols without `force`.
ComparedRuns compare_runs(const CompareOptions& options);
nlohmann::ordered_json to_json(const ComparedRuns& compared);  // docs/formats.md
// The table, for the terminal or as rows of a LaTeX table, and a line for each pair.
std::string format_comparison(const ComparedRuns& compared, bool latex = false);

}  // namespace etrlrec
