// etrlrec evaluate: options of an evaluation, its files and its table row.
#include "method/evaluate.h"

#include <iostream>
#include <memory>
#include <vector>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "eval/ablation.h"
#include "method/evaluation_text.h"

namespace etrlrec {
namespace {

struct Output {
  std::string folder;
  double fail_under = 0;
  bool replace = false, dry_run = false;
};

void evaluate(const EvaluateOptions& options, const Output& output, const Command& command,
              const CommonOptions& common) {
  const Stopwatch watch;
  EvaluateSetup asked = setup(options);
  if (output.dry_run) {
    report_estimate(plan(asked), "evaluate", common);
    return;
  }
  const fs::path candidates = asked.candidates;
  const Evaluation evaluation = run(std::move(asked));
  const OrderedJson summary = summary_of(evaluation);
  if (!output.folder.empty()) {
    FolderWriter writer(output.folder, output.replace);
    save_predictions(evaluation.predictions, writer.path() / "predictions.jsonl");
    write_json_atomic(writer.path() / "summary.json", summary);
    write_run_record(writer.path(), command, common,
                     {{"candidates", candidates}, {"model", options.model}}, watch.seconds());
    writer.commit();
  }
  const std::string next =
      output.folder.empty()
          ? ""
          : fmt::format("next: etrlrec compare {} <another evaluated run>\n", output.folder);
  if (common.json)
    std::cout << summary.dump(2) << "\n";
  else
    fmt::print("{}{}", format_evaluation(evaluation), next);
  const double hit = evaluation.row.hit1.mean;
  CHECK(hit >= output.fail_under, kGate, "hit@1 {:.4f} is below --fail-under {:.4f}", hit,
        output.fail_under);
}

// What --candidates all adds.
void add_catalogue_options(Command& command, const std::shared_ptr<EvaluateOptions>& options) {
  const auto is_full = [=] { return options->candidates == "all"; };
  command.add_flag("--mask-seen", options->mask_seen, "with --candidates all: leave seen items out")
      .only_with("--candidates all", is_full);
  command
      .add_option("--retrieve", options->retrieve,
                  "with --candidates all: a recommender folder whose first items a language model "
                  "ranks, as candidates in an order drawn by seed; prints their recall")
      .existing_folder()
      .only_with("--candidates all", is_full);
  command.add_option("--top-n", options->top_n, "items of --retrieve")
      .range(2, 1000)
      .only_with("--retrieve", [=] { return !options->retrieve.empty(); });
  command
      .add_option("--beam", options->beam,
                  "with --candidates all: beam search with so many beams instead of scores of all "
                  "titles; prints its recall@10, 0: exact")
      .range(0, 1000)
      .only_with("--candidates all", is_full);
}

// How a language model is asked.
void add_protocol_options(Command& command, const std::shared_ptr<EvaluateOptions>& options) {
  command.add_option("--protocol", options->protocol.name, "how a language model is asked")
      .one_of(protocol_names());
  command
      .add_option("--reasonings", options->protocol.reasonings,
                  "likelihood: reasonings averaged, above 1 sampled")
      .range(1, 64)
      .only_with("--protocol likelihood", [=] { return options->protocol.name == "likelihood"; });
  command
      .add_option("--permutations", options->protocol.permutations,
                  "likelihood: orders of the candidates averaged, the stored one and others drawn; "
                  "in each --reasonings are asked for")
      .range(1, 64)
      .only_with("--protocol likelihood", [=] { return options->protocol.name == "likelihood"; });
  // Empty until it is given, so that it is refused beside other protocols with its default, too.
  auto share = std::make_shared<std::vector<double>>();
  command.before_conditions([=](const Command::IsGiven&) {
    if (!share->empty()) options->protocol.reasoning_share = share->front();
  });
  command
      .add_option("--reasoning-share", *share,
                  fmt::format("truncated-reasoning: the share of the model's own reasoning that it "
                              "answers below, 0 none to 1 all (default {})",
                              options->protocol.reasoning_share))
      .count(1, 1)
      .range(0.0, 1.0)
      .only_with("--protocol truncated-reasoning",
                 [=] { return options->protocol.name == "truncated-reasoning"; });
}

}  // namespace

void add_evaluate(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "evaluate", "metrics of any model on one candidate file or the whole catalogue");
  command.example(
      "evaluate --data shop --model shop-policy --out shop-eval/policy\n"
      "  etrlrec evaluate --data shop --model shop-timeline --candidates all --mask-seen");
  command.alias("eval");
  auto options = std::make_shared<EvaluateOptions>();
  auto output = std::make_shared<Output>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command
      .add_option("-m,--model", options->model,
                  "model folder (language model or recommender), or: random, teacher, bayes")
      .required();
  add_dtype(command, options->dtype);
  add_adapters(command, options->adapters);
  command.add_option("--candidates", options->candidates,
                     "candidate file, default DATA/candidates-test.jsonl; all: the test rows "
                     "against the whole catalogue, as fit --evaluate full");
  add_catalogue_options(command, options);
  command.add_option("-o,--out", output->folder, "folder for predictions.jsonl and summary.json");
  command.add_option("--name", options->name,
                     "name of the row in tables, default the folder's name");
  add_protocol_options(command, options);
  command.add_option("--ablate", options->ablate, "what is taken from a language model's input")
      .one_of(ablation_names());
  command
      .add_option("--mix", options->mix,
                  "recommender folder: its scores are mixed with the model's answer probabilities, "
                  "with a weight chosen on validation rows; repeatable, one after the other")
      .repeatable()
      .existing_folder();
  command
      .add_option("--recommender", options->recommender,
                  "of a model that was trained with --knowledge pattern: the recommender folder "
                  "whose patterns its prompts show")
      .existing_folder();
  command.add_flag(
      "--trend", options->trend,
      "multiply each probability by how much more often its item is chosen lately than "
      "the model can know, from everybody's events before the request; how fast events "
      "are forgotten is chosen on validation rows");
  command.add_flag("--new-items", options->new_items,
                   "of a recommender: items that nobody had chosen when its training ended get "
                   "their share, measured on validation rows, as with a model that read the log");
  command.add_option("--limit", options->limit, "only the first rows, 0: all");
  command.add_option("--fail-under", output->fail_under, "exit code 8 when hit@1 is below");
  command.add_flag("--replace", output->replace, "replace an existing --out")
      .only_with("--out", [=] { return !output->folder.empty(); });
  add_dry_run(command, output->dry_run);
  command.on_run([options, output, command, &common] {
    options->protocol.seed = common.seed;
    options->numerics = common.numerics();
    evaluate(*options, *output, command, common);
  });
}

}  // namespace etrlrec
