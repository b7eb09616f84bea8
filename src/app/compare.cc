// etrlrec compare: a table of evaluated runs with paired tests on the same rows.
#include "method/compare.h"

#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"

namespace etrlrec {
namespace {

void print_text(const ComparedRuns& compared, bool latex) {
  const char* separator = latex ? " & " : "  ";
  const char* end = latex ? " \\\\\n" : "\n";
  fmt::print("{:<28}{}{:>6}{}{:>7}{}{:>17}{}{:>7}{}{:>7}{}{:>6}{}", "model", separator, "n",
             separator, "hit@1", separator, "95% interval", separator, "ndcg@10", separator, "mrr",
             separator, "valid", end);
  for (const MetricRow& row : compared.rows) {
    fmt::print("{:<28}{}{:>6}{}{:>7.4f}{}  [{:.4f}, {:.4f}]{}{:>7.4f}{}{:>7.4f}{}{:>6.3f}{}",
               row.model, separator, row.n, separator, row.hit1.mean, separator, row.hit1.low,
               row.hit1.high, separator, row.ndcg10, separator, row.mrr, separator, row.valid_ratio,
               end);
  }
  fmt::print(
      "\npaired on the same {} rows; p: exact McNemar for hit@1 (Holm over all pairs), bootstrap "
      "by user for ndcg@10\n",
      compared.rows[0].n);
  for (const Comparison& pair : compared.pairs) {
    fmt::print(
        "{} - {}: hit@1 {:+.4f} [{:+.4f}, {:+.4f}] p = {:.2g} (Holm {:.2g}); ndcg@10 {:+.4f} "
        "[{:+.4f}, {:+.4f}] p = {:.2g}\n",
        pair.first, pair.second, pair.hit1.difference, pair.hit1.low, pair.hit1.high,
        pair.hit1.p_value, pair.hit1_adjusted, pair.ndcg10.difference, pair.ndcg10.low,
        pair.ndcg10.high, pair.ndcg10.p_value);
  }
}

}  // namespace

void add_compare(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("compare", "table of evaluated runs with paired tests on the same rows");
  command.example("compare shop-eval/policy shop-eval/sasrec");
  auto options = std::make_shared<CompareOptions>();
  auto latex = std::make_shared<bool>(false);
  command
      .add_option("runs", options->runs,
                  "folders of `etrlrec evaluate` (or predictions.jsonl files)")
      .required()
      .count(2, 64);
  command.add_option("--draws", options->draws, "bootstrap draws").range(100, 1000000);
  command.add_flag("--latex", *latex, "rows for a LaTeX table");
  command.add_flag("--force", options->force, "compare different protocols all the same");
  command.on_run([options, latex, &common] {
    options->seed = common.seed;
    const ComparedRuns compared = compare_runs(*options);
    if (common.json) {
      std::cout << to_json(compared).dump(2) << "\n";
    } else {
      print_text(compared, *latex);
    }
  });
}

}  // namespace etrlrec
