// Evaluated arms side by side, with paired tests on the same rows.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "eval/arms.h"
#include "eval/document.h"

namespace etrlrec {

struct CompareOptions {
  // Of each arm a folder of evaluate or a predictions.jsonl file, or those of several training
  // seeds joined by commas. A path that exists is one, whatever commas are in it.
  std::vector<std::string> runs;
  int64_t draws = 10000;     // of the bootstrap
  bool force = false;        // compare different protocols all the same
  std::string data{};        // data set folder, for slices; empty: none
  std::string candidates{};  // with data, the file of the rows; empty: its candidates-test.jsonl
  uint64_t seed = 42;
};

// The same of a part of the rows (method/slices.h).
struct ComparedSlice {
  std::string name;
  std::vector<ArmSummary> rows;
  std::vector<Comparison> pairs;  // Holm over the pairs of all slices
};
struct ComparedRuns {
  std::vector<ArmSummary> rows;   // in the order of the runs
  std::vector<Comparison> pairs;  // every later arm against every earlier one, Holm over all
  std::vector<ComparedSlice> slices;
};

// Error (kUsage) for runs on other candidate rows than each other's or the file's, or under other
// protocols without `force`.
ComparedRuns compare_runs(const CompareOptions& options);
nlohmann::ordered_json to_json(const ComparedRuns& compared);  // docs/formats.md
// Tables of arms and pairs, and of every slice. The last column of a pair is the power line: how
// many rows its difference of hit@1 needs for p < .05 in 80 % of the cases (eval/significance.h).
std::string format_comparison(const ComparedRuns& compared,
                              DocumentFormat format = DocumentFormat::kText);

// Tables of summaries and pairs, for reports of several arms.
TableRows arm_table(const std::vector<ArmSummary>& arms);
TableRows pair_table(const std::vector<Comparison>& pairs);

}  // namespace etrlrec
