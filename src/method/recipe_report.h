// The report of a recipe's run: the table with stable ids, what training cost, comparisons, curves
// and worked examples, from what was judged and the folders of the stages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "eval/report.h"
#include "method/recipe_file.h"

namespace etrlrec {

struct JudgedArm {
  std::string id;     // of the recipe
  std::string model;  // as the recipe names it: "@policy", "random"
  Predictions predictions;
  MetricRow row;
  std::optional<ReasoningQuality> reasoning;  // of a model that reasons
  std::string key;                            // of what decides the result (method/recipe_plan.h)
};

// What a run brings to its report. Folders of stages are out/<id>; what a stage printed with --json
// is out/stages/<id>.json.
struct RecipeResults {
  const Recipe* recipe = nullptr;
  std::filesystem::path out;
  uint64_t seed = 42;
  std::vector<JudgedArm> arms;                          // in the order of the recipe
  std::vector<std::pair<std::string, double>> seconds;  // by heading, in the order of the stages
};

// Writes report.html and summary.json and returns what is in them.
ReportData write_recipe_report(const RecipeResults& results);

// Means over seeds, for the terminal and as a document: rows with id, model, n, and for hit@1,
// hit@5, ndcg@10 and mrr mean, least and greatest value.
std::string format_seeds(const std::vector<ReportData>& seeds);
nlohmann::ordered_json seeds_json(const std::vector<ReportData>& seeds);

}  // namespace etrlrec
