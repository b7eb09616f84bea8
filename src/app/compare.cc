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
  command.example(
      "compare shop-eval/policy shop-eval/sasrec\n"
      "  etrlrec compare run/seed-1/eval,run/seed-2/eval,run/seed-3/eval shop-eval/sasrec");
  auto options = std::make_shared<CompareOptions>();
  auto format = std::make_shared<std::string>("text");
  command
      .add_option("runs", options->runs,
                  "folders of `etrlrec evaluate` (or predictions.jsonl files); those of several "
                  "training seeds of one arm joined by commas")
      .required()
      .count(2, 64);
  command.add_option("--draws", options->draws, "bootstrap draws").range(100, 1000000);
  command.add_option("--format", *format, "of what is printed")
      .one_of(document_format_names())
      .only_with("a printed table, not with --json", [&common] { return !common.json; });
  command
      .add_option("-d,--data", options->data,
                  "data set folder: compare also on cold, rare and popular items, on cold users "
                  "and by the time since the last event")
      .existing_folder();
  command
      .add_option("--candidates", options->candidates,
                  "with --data, the candidate file of the rows, default DATA/candidates-test.jsonl")
      .only_with("--data, the folder of its data set", [=] { return !options->data.empty(); });
  command.add_flag("--force", options->force, "compare different protocols all the same");
  command.on_run([options, format, &common] {
    options->seed = common.seed;
    const ComparedRuns compared = compare_runs(*options);
    if (common.json) {
      std::cout << to_json(compared).dump(2) << "\n";
    } else {
      fmt::print("{}", format_comparison(compared, document_format(*format)));
    }
  });
}

}  // namespace etrlrec
