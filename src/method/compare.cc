#include "method/compare.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "eval/report_text.h"
#include "eval/significance.h"

namespace etrlrec {
namespace {

OrderedJson difference_json(const PairedResult& result) {
  return {{"difference", result.difference},
          {"low", result.low},
          {"high", result.high},
          {"p", result.p_value}};
}

}  // namespace

OrderedJson to_json(const ComparedRuns& compared) {
  OrderedJson document = {{"schema_version", 1}};
  document["rows"] = OrderedJson::array();
  for (const MetricRow& row : compared.rows) document["rows"].push_back(to_json(row));
  document["pairs"] = OrderedJson::array();
  for (const Comparison& pair : compared.pairs) {
    document["pairs"].push_back({{"first", pair.first},
                                 {"second", pair.second},
                                 {"n", pair.n},
                                 {"hit@1", difference_json(pair.hit1)},
                                 {"hit@1_p_holm", pair.hit1_adjusted},
                                 {"ndcg@10", difference_json(pair.ndcg10)}});
  }
  return document;
}

ComparedRuns compare_runs(const CompareOptions& options) {
  std::vector<Predictions> runs;
  for (const std::string& run : options.runs) {
    const fs::path path(run);
    runs.push_back(load_predictions(fs::is_directory(path) ? path / "predictions.jsonl" : path));
    CHECK(runs.back().candidates_hash == runs[0].candidates_hash &&
              runs.back().rows.size() == runs[0].rows.size(),
          kUsage,
          "{}: other candidate rows than {}: {} is not {}\nhint: evaluate both with the same "
          "--candidates (and --mask-seen, --limit)",
          run, options.runs[0], runs.back().protocol, runs[0].protocol);
    CHECK(options.force || runs.back().protocol == runs[0].protocol ||
              runs.back().protocol.starts_with("score") || runs[0].protocol.starts_with("score"),
          kUsage, "{}: protocol {} is not {}\nhint: --force compares them all the same", run,
          runs.back().protocol, runs[0].protocol);
  }
  ComparedRuns compared;
  for (const Predictions& run : runs) compared.rows.push_back(summarize(run, options.seed));
  for (size_t i = 0; i + 1 < runs.size(); ++i) {
    for (size_t j = i + 1; j < runs.size(); ++j)
      compared.pairs.push_back(compare_predictions(runs[j], runs[i], options.draws, options.seed));
  }
  adjust_comparisons(compared.pairs);
  return compared;
}

std::string format_comparison(const ComparedRuns& compared, bool latex) {
  const char* separator = latex ? " & " : "  ";
  const char* end = latex ? " \\\\\n" : "\n";
  std::string text = fmt::format("{:<28}{}{:>6}{}{:>7}{}{:>17}{}{:>7}{}{:>7}{}{:>6}{}", "model",
                                 separator, "n", separator, "hit@1", separator, "95% interval",
                                 separator, "ndcg@10", separator, "mrr", separator, "valid", end);
  for (const MetricRow& row : compared.rows) {
    text += fmt::format(
        "{:<28}{}{:>6}{}{:>7.4f}{}  [{:.4f}, {:.4f}]{}{:>7.4f}{}{:>7.4f}{}{:>6.3f}{}", row.model,
        separator, row.n, separator, row.hit1.mean, separator, row.hit1.low, row.hit1.high,
        separator, row.ndcg10, separator, row.mrr, separator, row.valid_ratio, end);
  }
  text += fmt::format(
      "\npaired on the same {} rows; p: exact McNemar for hit@1 (Holm over all pairs), bootstrap "
      "by user for ndcg@10\n",
      compared.rows[0].n);
  for (const Comparison& pair : compared.pairs) {
    text += fmt::format(
        "{} - {}: hit@1 {:+.4f} [{:+.4f}, {:+.4f}] p = {:.2g} (Holm {:.2g}); ndcg@10 {:+.4f} "
        "[{:+.4f}, {:+.4f}] p = {:.2g}\n",
        pair.first, pair.second, pair.hit1.difference, pair.hit1.low, pair.hit1.high,
        pair.hit1.p_value, pair.hit1_adjusted, pair.ndcg10.difference, pair.ndcg10.low,
        pair.ndcg10.high, pair.ndcg10.p_value);
  }
  return text;
}

}  // namespace etrlrec
