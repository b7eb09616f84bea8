// The content of a report as plain structs of strings and numbers. Whoever fills them knows models
// and files, this unit does not. report_page.h makes an HTML page of them, report_text.h tables for
// the terminal and summary.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eval/plots.h"
#include "eval/predictions.h"
#include "eval/time_line.h"
#include "temporal/claims.h"
#include "temporal/explanation.h"
#include "temporal/reasoning_quality.h"

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
  Explanation explanation;           // of the reasoning
  int32_t answer = 0, truth = 0;     // candidate numbers, 0 none
};

// A row of the table for programs: the stable id of its arm, what training its model took, and how
// its reasoning speaks.
struct ReportArm {
  std::string id;
  double seconds = 0;
  int64_t tokens = 0;  // 0: of a model that reads no tokens
  std::optional<ReasoningQuality> reasoning;
};

struct ReportData {
  std::string title = "etrlrec report";
  std::string summary;  // one or two sentences
  std::vector<MetricRow> rows;
  std::vector<ReportArm> arms;  // of the rows, in their order; or empty
  int32_t num_candidates = 0;   // for the random level
  BayesBound bayes;
  std::vector<Comparison> tests;
  std::vector<LinePlot> curves;   // loss, reward, eval metric …
  std::vector<LinePlot> rewards;  // reward parts over steps
  std::vector<ReportExample> examples;
  std::vector<std::pair<std::string, double>> stage_seconds;  // in the order they ran
  double peak_rss_mb = 0;
  std::vector<std::pair<std::string, std::string>> facts;  // "seed": "42", "data": …
};

}  // namespace etrlrec
