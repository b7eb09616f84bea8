// The report of a run: one self-contained HTML page (no scripts, no links to anything outside), a
// table for the terminal, and summary.json. Plain structs of strings and numbers; whoever fills
// them knows models and files, this unit does not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "eval/metrics.h"
#include "eval/plots.h"
#include "eval/predictions.h"
#include "temporal/claims.h"

namespace etrlrec {

// Upper bound of a world whose rules are known.
struct BayesBound {
  bool known = false;
  double hit1 = 0, hit5 = 0, hit10 = 0, ndcg5 = 0, ndcg10 = 0, mrr = 0;
};

struct ReportCandidate {
  int32_t number = 0;  // 1-based, as in the prompt
  std::string title, attributes;
  double probability = 0;  // of the model, after its reasoning
  double reference = -1;   // of the world's exact rule among the candidates; < 0: unknown
};
struct ExampleClaim {
  size_t begin = 0, end = 0;  // bytes of the reasoning
  Verdict verdict = Verdict::kUnverifiable;
  std::string note;  // e.g. "user evolving thought, 2.1 bits"; shown on hover
};
struct ReportExample {
  std::string heading;                 // e.g. "user u17, row 204"
  std::vector<TimeLineEvent> history;  // oldest first
  int64_t now = 0;
  std::string gap_to_now;
  std::vector<ReportCandidate> candidates;
  std::string reasoning;
  std::vector<ExampleClaim> claims;  // outside ranges and overlaps are left unmarked
  int32_t answer = 0, truth = 0;     // candidate numbers, 0 none
};

struct ReportData {
  std::string title = "etrlrec report";
  std::string summary;  // one or two sentences
  std::vector<MetricRow> rows;
  int32_t num_candidates = 0;  // for the random level
  BayesBound bayes;
  std::vector<Comparison> tests;
  std::vector<LinePlot> curves;   // loss, reward, eval metric …
  std::vector<LinePlot> rewards;  // reward parts over steps
  std::vector<ReportExample> examples;
  std::vector<std::pair<std::string, double>> stage_seconds;  // in the order they ran
  double peak_rss_mb = 0;
  std::vector<std::pair<std::string, std::string>> facts;  // "seed": "42", "data": …
};

std::string render_report(const ReportData& data);
void write_report(const std::filesystem::path& path, const ReportData& data);

// {"rows": [{"model", "stage", "protocol", "n", "hit@1", "hit@1_low", "hit@1_high", "hit@5",
// "hit@10", "ndcg@5", "ndcg@10", "mrr", "valid_ratio"}], "random": {…}, "bayes": {…} or null,
// "seconds": {stage: …}, "peak_rss_mb": …}
nlohmann::ordered_json summary_json(const ReportData& data);
// One model's row in every JSON document: summary.json, evaluate, compare.
nlohmann::ordered_json to_json(const MetricRow& row);

// Aligned columns for the terminal: the first row is the head; columns of numbers are flushed
// right. Widths count code points.
std::string format_table(std::span<const std::vector<std::string>> rows);
// The main table with the random level and, when known, the bound and its share.
std::string format_metrics(const ReportData& data);

// metrics.jsonl of a training folder as one series per tag, x = step.
std::map<std::string, Series> load_metrics(const std::filesystem::path& path);

}  // namespace etrlrec
