// etrlrec compare: a table of evaluated runs with paired tests on the same rows.
#include "method/compare.h"

#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"

namespace etrlrec {
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
  command.add_flag("--latex", *latex, "rows for a LaTeX table")
      .only_with("a printed table, not with --json", [&common] { return !common.json; });
  command
      .add_option("-d,--data", options->data,
                  "data set folder: compare also on cold, rare and popular items and on cold users")
      .existing_folder();
  command
      .add_option("--candidates", options->candidates,
                  "with --data, the candidate file of the rows, default DATA/candidates-test.jsonl")
      .only_with("--data, the folder of its data set", [=] { return !options->data.empty(); });
  command.add_flag("--force", options->force, "compare different protocols all the same");
  command.on_run([options, latex, &common] {
    options->seed = common.seed;
    const ComparedRuns compared = compare_runs(*options);
    if (common.json) {
      std::cout << to_json(compared).dump(2) << "\n";
    } else {
      fmt::print("{}", format_comparison(compared, *latex));
    }
  });
}

}  // namespace etrlrec
