// etrlrec compare: a table of evaluated runs with paired tests on the same rows. Tables refuse to
// mix candidate sets.
#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/metrics.h"
#include "eval/predictions.h"
#include "eval/report.h"

namespace etrlrec {
namespace {

struct CompareOptions {
  std::vector<std::string> runs;
  int64_t draws = 10000;
  bool latex = false, force = false;
};

OrderedJson difference_json(const PairedResult& result) {
  return {{"difference", result.difference},
          {"low", result.low},
          {"high", result.high},
          {"p", result.p_value}};
}

OrderedJson to_json(const std::vector<Predictions>& runs, const std::vector<Comparison>& pairs,
                    uint64_t seed) {
  OrderedJson document = {{"schema_version", 1}};
  document["rows"] = OrderedJson::array();
  for (const Predictions& run : runs) {
    document["rows"].push_back(to_json(summarize(run, seed)));
  }
  document["pairs"] = OrderedJson::array();
  for (const Comparison& pair : pairs) {
    document["pairs"].push_back({{"first", pair.first},
                                 {"second", pair.second},
                                 {"n", pair.n},
                                 {"hit@1", difference_json(pair.hit1)},
                                 {"hit@1_p_holm", pair.hit1_adjusted},
                                 {"ndcg@10", difference_json(pair.ndcg10)}});
  }
  return document;
}

void print_text(const std::vector<Predictions>& runs, const std::vector<Comparison>& pairs,
                const CompareOptions& options, uint64_t seed) {
  const char* separator = options.latex ? " & " : "  ";
  const char* end = options.latex ? " \\\\\n" : "\n";
  fmt::print("{:<28}{}{:>6}{}{:>7}{}{:>17}{}{:>7}{}{:>7}{}{:>6}{}", "model", separator, "n",
             separator, "hit@1", separator, "95% interval", separator, "ndcg@10", separator, "mrr",
             separator, "valid", end);
  for (const Predictions& run : runs) {
    const MetricRow row = summarize(run, seed);
    fmt::print("{:<28}{}{:>6}{}{:>7.4f}{}  [{:.4f}, {:.4f}]{}{:>7.4f}{}{:>7.4f}{}{:>6.3f}{}",
               row.model, separator, row.n, separator, row.hit1.mean, separator, row.hit1.low,
               row.hit1.high, separator, row.ndcg10, separator, row.mrr, separator, row.valid_ratio,
               end);
  }
  fmt::print(
      "\npaired on the same {} rows; p: exact McNemar for hit@1 (Holm over all pairs), bootstrap "
      "by user for ndcg@10\n",
      runs[0].rows.size());
  for (const Comparison& pair : pairs) {
    fmt::print(
        "{} - {}: hit@1 {:+.4f} [{:+.4f}, {:+.4f}] p = {:.2g} (Holm {:.2g}); ndcg@10 {:+.4f} "
        "[{:+.4f}, {:+.4f}] p = {:.2g}\n",
        pair.first, pair.second, pair.hit1.difference, pair.hit1.low, pair.hit1.high,
        pair.hit1.p_value, pair.hit1_adjusted, pair.ndcg10.difference, pair.ndcg10.low,
        pair.ndcg10.high, pair.ndcg10.p_value);
  }
}

void compare(const CompareOptions& options, const CommonOptions& common) {
  std::vector<Predictions> runs;
  for (const std::string& run : options.runs) {
    const std::filesystem::path path(run);
    runs.push_back(
        load_predictions(std::filesystem::is_directory(path) ? path / "predictions.jsonl" : path));
    CHECK(runs.back().candidates_hash == runs[0].candidates_hash &&
              runs.back().rows.size() == runs[0].rows.size(),
          kUsage,
          "{}: other candidate rows than {}\nhint: evaluate both on the same --candidates file",
          run, options.runs[0]);
    CHECK(options.force || runs.back().protocol == runs[0].protocol ||
              runs.back().protocol.starts_with("score") || runs[0].protocol.starts_with("score"),
          kUsage, "{}: protocol {} is not {}\nhint: --force compares them all the same", run,
          runs.back().protocol, runs[0].protocol);
  }
  std::vector<Comparison> pairs;
  for (size_t i = 0; i + 1 < runs.size(); ++i) {
    for (size_t j = i + 1; j < runs.size(); ++j)
      pairs.push_back(compare_predictions(runs[j], runs[i], options.draws, common.seed));
  }
  adjust_comparisons(pairs);
  if (common.json) {
    std::cout << to_json(runs, pairs, common.seed).dump(2) << "\n";
  } else {
    print_text(runs, pairs, options, common.seed);
  }
}

}  // namespace

void add_compare(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("compare", "table of evaluated runs with paired tests on the same rows");
  auto options = std::make_shared<CompareOptions>();
  command
      .add_option("runs", options->runs,
                  "folders of `etrlrec evaluate` (or predictions.jsonl files)")
      .required()
      .count(2, 64);
  command.add_option("--draws", options->draws, "bootstrap draws").range(100, 1000000);
  command.add_flag("--latex", options->latex, "rows for a LaTeX table");
  command.add_flag("--force", options->force, "compare different protocols all the same");
  command.on_run([options, &common] { compare(*options, common); });
}

}  // namespace etrlrec
