// etrlrec candidates: another candidate file for a data set; evaluate takes it by --candidates.
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/json.h"
#include "method/candidate_draw.h"

namespace etrlrec {
namespace {

void run_candidates(CandidateDrawOptions options, const CommonOptions& common) {
  options.seed = common.seed;
  options.numerics = common.numerics();
  const CandidateDraw draw = draw_candidate_file(options);
  if (common.json) {
    fmt::print("{}\n", OrderedJson{{"schema_version", 1},
                                   {"out", options.out},
                                   {"kind", options.kind},
                                   {"rows", draw.rows},
                                   {"hash", draw.hash}}
                           .dump(2));
  } else {
    fmt::print(
        "{}: {} rows of {} candidates, {}\nnext: etrlrec evaluate --data {} --candidates {} "
        "--model MODEL\n",
        options.out, draw.rows, options.count, options.kind, options.data, options.out);
  }
}

}  // namespace

void add_candidates(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("candidates", "draw another candidate file for a data set");
  command.example(
      "candidates --data shop --kind hard --recommender shop-fit/sasrec --out shop-hard.jsonl");
  auto options = std::make_shared<CandidateDrawOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-o,--out", options->out, "file to write (JSON Lines)").required();
  command
      .add_option(
          "--kind", options->kind,
          "uniform: any item that somebody chose; trained: in the training part; catalogue: any "
          "item at all; popular: by popularity^0.75 among items alive at the request; hard: half "
          "from the recommender's top 50, half popular; cold: items that nobody chose in the "
          "training part, for rows with such a target; alive: chosen by somebody before the "
          "request")
      .one_of(candidate_kind_names());
  command.add_option("--recommender", options->recommender, "for hard ones: a folder of fit")
      .only_with("--kind hard", [=] { return options->kind == "hard"; });
  command.add_option("--part", options->part, "rows").one_of({"train", "valid", "test"});
  command.add_option("--num-candidates", options->count, "per row, the target included")
      .range(2, 1000);
  command.add_option("--limit", options->limit, "at most so many rows, drawn by seed; 0: all");
  command.on_run([options, &common] { run_candidates(*options, common); });
}

}  // namespace etrlrec
