// etrlrec evaluate: any model on the rows of one candidate file under a named protocol ->
// predictions.jsonl, summary.json.
#include <iostream>
#include <memory>
#include <optional>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/candidates.h"
#include "data/synthetic.h"
#include "eval/ablation.h"
#include "eval/protocol.h"
#include "eval/report.h"
#include "method/fit.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "models/recommender.h"

namespace etrlrec {
namespace {

struct EvaluateOptions {
  std::string data, model, out, candidates, name, ablate = "none", dtype = "float32";
  ProtocolOptions protocol;
  int64_t limit = 0;
  double fail_under = 0;
  bool replace = false, dry_run = false;
};

bool is_language_model(const fs::path& folder) { return fs::exists(folder / "tokenizer.json"); }

// A language model without its weights, and what it is asked.
struct Questions {
  LoadedModel model;
  ProtocolOptions protocol;
  std::vector<Request> requests;
  MemoryEstimate estimate;
};

Questions make_questions(const EvaluateOptions& options, const Dataset& dataset,
                         std::span<const Request> requests) {
  Questions questions;
  questions.model =
      open_model_folder(options.model, catalogue_hash(dataset.catalogue), options.dtype);
  ProtocolOptions& protocol = questions.protocol = options.protocol;
  protocol.prompt = questions.model.card.prompt;
  protocol.max_reasoning_tokens = questions.model.card.max_reasoning_tokens;
  std::vector<Request> shown;  // an ablation moves what the model sees, no more
  for (const Request& request : requests)
    shown.push_back(with_recent_history(request, protocol.prompt.max_history));
  questions.requests = ablate_requests(shown, options.ablate, protocol.seed);
  questions.estimate =
      estimate_asking(questions.model, dataset.catalogue, questions.requests, protocol);
  return questions;
}

Predictions evaluate_language_model(const EvaluateOptions& options, const Dataset& dataset,
                                    std::span<const Request> requests) {
  Questions questions = make_questions(options, dataset, requests);
  check_memory(questions.estimate, available_memory(), "evaluate", "a smaller model");
  load_weights_of(options.model, questions.model);
  ProgressBar bar("evaluate", static_cast<int64_t>(requests.size()));
  Predictions predictions =
      ask_language_model(questions.model.language_model(dataset.catalogue), questions.requests,
                         questions.protocol, [&bar](int64_t done, int64_t) { bar.update(done); });
  predictions.stage = questions.model.card.stage;
  return predictions;
}

void dry_run(const EvaluateOptions& options, const Dataset& dataset,
             std::span<const Request> requests, bool json) {
  CHECK(is_language_model(options.model), kUsage, "--dry-run: only language models, found {}",
        options.model);
  const Questions questions = make_questions(options, dataset, requests);
  const int64_t available = available_memory();
  print_estimate(questions.estimate, available, json);
  check_memory(questions.estimate, available, "evaluate", "a smaller model");
}

Predictions evaluate_any(const EvaluateOptions& options, const Dataset& dataset,
                         std::span<const Row> rows, std::span<const Request> requests) {
  if (options.model == "bayes") {
    const World world = load_world(options.data);
    Predictions predictions = rank_by_world(world, dataset, rows, requests);
    predictions.stage = "bound";
    return predictions;
  }
  if (options.model == "random") {
    Predictions predictions = rank_at_random(requests, options.protocol.seed);
    predictions.stage = "bound";
    return predictions;
  }
  if (is_language_model(options.model)) return evaluate_language_model(options, dataset, requests);
  CHECK(options.ablate == "none", kUsage, "--ablate: only language models, {} is a recommender",
        options.model);
  const auto recommender = load_recommender_of(options.model, dataset.catalogue);
  Predictions predictions = rank_by_recommender(*recommender, requests);
  predictions.stage = "fit";
  return predictions;
}

OrderedJson summary_of(const MetricRow& row, const RandomLevel& level) {
  OrderedJson summary = {{"schema_version", 1}};
  summary.update(to_json(row));
  summary["hit@1_by_slot"] = row.hit1_by_slot;
  summary["random"] = {{"hit@1", level.hit1}, {"hit@10", level.hit10}, {"ndcg@10", level.ndcg10}};
  return summary;
}

void evaluate(const EvaluateOptions& options, const Command& command, const CommonOptions& common) {
  const Stopwatch watch;
  const Dataset dataset = load_dataset(options.data);
  const fs::path path = options.candidates.empty()
                            ? fs::path(options.data) / "candidates-test.jsonl"
                            : fs::path(options.candidates);
  const CandidateSet set = load_candidates(path, dataset);
  const auto rows = static_cast<int64_t>(set.rows.size());
  const int64_t count = options.limit > 0 ? std::min(options.limit, rows) : rows;
  if (count < rows) log_info("--limit: {} of {} rows", count, rows);
  std::vector<Request> requests;
  for (int64_t r = 0; r < count; ++r) requests.push_back(make_request(dataset, set, r, 200));

  if (options.dry_run) {
    dry_run(options, dataset, requests, common.json);
    return;
  }
  Predictions predictions = evaluate_any(options, dataset, set.rows, requests);
  predictions.model =
      !options.name.empty() ? options.name : fs::path(options.model).filename().string();
  if (options.ablate != "none") predictions.model += "/" + options.ablate;
  predictions.protocol = protocol_name(predictions.protocol, set.options);
  predictions.candidates_hash = set.hash;
  predictions.seed = common.seed;

  const MetricRow row = summarize(predictions, common.seed);
  const OrderedJson summary = summary_of(row, random_level(set.options.count));
  if (!options.out.empty()) {
    FolderWriter writer(options.out, options.replace);
    save_predictions(predictions, writer.path() / "predictions.jsonl");
    write_json_atomic(writer.path() / "summary.json", summary);
    write_run_record(writer.path(), command, common,
                     {{"candidates", path}, {"model", options.model}}, watch.seconds());
    writer.commit();
  }
  if (common.json) {
    std::cout << summary.dump(2) << "\n";
  } else {
    fmt::print(
        "{} · {} · {} rows\nhit@1 {:.4f} [{:.4f}, {:.4f}]  hit@5 {:.4f}  hit@10 {:.4f}  ndcg@10 "
        "{:.4f}  mrr {:.4f}"
        "  valid {:.3f}  (random hit@1 {:.4f})\n",
        row.model, row.protocol, row.n, row.hit1.mean, row.hit1.low, row.hit1.high, row.hit5,
        row.hit10, row.ndcg10, row.mrr, row.valid_ratio, random_level(set.options.count).hit1);
    if (!options.out.empty())
      fmt::print("next: etrlrec compare {} <another evaluated run>\n", options.out);
  }
  CHECK(row.hit1.mean >= options.fail_under, kGate, "hit@1 {:.4f} is below --fail-under {:.4f}",
        row.hit1.mean, options.fail_under);
}

}  // namespace

void add_evaluate(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "evaluate", "metrics of any model on one candidate file under a named protocol");
  command.alias("eval");
  auto options = std::make_shared<EvaluateOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command
      .add_option("-m,--model", options->model,
                  "model folder (language model or recommender), or: random, bayes")
      .required();
  add_dtype(command, options->dtype);
  command.add_option("--candidates", options->candidates,
                     "candidate file, default DATA/candidates-test.jsonl");
  command.add_option("-o,--out", options->out, "folder for predictions.jsonl and summary.json");
  command.add_option("--name", options->name,
                     "name of the row in tables, default the folder's name");
  command.add_option("--protocol", options->protocol.name, "how a language model is asked")
      .one_of({"likelihood", "first-answer", "elimination", "title-sum", "title-mean"});
  command
      .add_option("--reasonings", options->protocol.reasonings,
                  "likelihood: reasonings averaged, above 1 sampled")
      .range(1, 64);
  command.add_option("--ablate", options->ablate, "what is taken from a language model's input")
      .one_of({"none", "shuffle-history", "permute-gaps", "shift-season"});
  command.add_option("--limit", options->limit, "only the first rows, 0: all");
  command.add_option("--fail-under", options->fail_under, "exit code 8 when hit@1 is below");
  command.add_flag("--replace", options->replace, "replace an existing --out");
  add_dry_run(command, options->dry_run);
  command.on_run([options, command, &common] { evaluate(*options, command, common); });
}

}  // namespace etrlrec
