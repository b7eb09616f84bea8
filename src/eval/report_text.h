// A report for the terminal and for programs: aligned tables, summary.json, and the reader of
// metrics.jsonl.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "eval/report.h"

namespace etrlrec {

// {"rows": [{"id", "model", "stage", "protocol", "n", "hit@1", "hit@1_low", "hit@1_high", "hit@5",
// "hit@10", "ndcg@5", "ndcg@10", "mrr", "valid_ratio", "seconds", "tokens"}], "random": {…},
// "bayes": {…} or null, "seconds": {stage: …}, "peak_rss_mb": …}
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
