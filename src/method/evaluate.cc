#include "method/evaluate.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/candidate_file.h"
#include "data/synthetic.h"
#include "data/world_file.h"
#include "eval/ablation.h"
#include "eval/mix.h"
#include "eval/report_text.h"
#include "method/fit.h"
#include "method/row.h"
#include "models/model_files.h"
#include "models/recommender.h"
#include "temporal/statistics.h"
#include "temporal/teachers.h"

namespace etrlrec {
namespace {

constexpr const char* kMemoryHint = "a smaller model";
constexpr int64_t kMixRows = 1000;  // of validation, at most

bool is_bound(const std::string& model) { return model == "bayes" || model == "random"; }
// Models that have no folder.
bool is_named(const std::string& model) { return is_bound(model) || model == "teacher"; }

Predictions ask_about(const EvaluateSetup& setup, std::span<const Request> requests,
                      const std::string& label) {
  const LoadedModel& model = *setup.model;
  ProgressBar bar(label, static_cast<int64_t>(requests.size()));
  return ask_language_model(*model.model, model.prompt_encoder(setup.dataset.catalogue), requests,
                            setup.protocol, [&bar](int64_t done, int64_t) { bar.update(done); });
}

// The answers mixed with a recommender's scores; the weight comes from validation rows.
Predictions mixed(const EvaluateSetup& setup, const Predictions& answers, double& weight) {
  const EvaluateOptions& options = setup.options;
  const Dataset& dataset = setup.dataset;
  const auto recommender = load_recommender_of(options.mix, dataset.catalogue, options.numerics);
  const auto recommended = [&](const CandidateSet& set, std::span<const int64_t> rows) {
    return rank_by_recommender(*recommender,
                               make_requests(dataset, set, rows, kRecommenderHistory));
  };
  const CandidateSet valid =
      load_candidates(fs::path(options.data) / "candidates-valid.jsonl", dataset);
  const auto rows = spread_rows(std::ssize(valid.rows), kMixRows);
  const auto asked = make_requests(dataset, valid, rows, setup.protocol.prompt.max_history);
  weight = choose_mix_weight(ask_about(setup, asked, "validation"), recommended(valid, rows));
  log_info("mix: weight {:.2f} of the language model, chosen on {} validation rows", weight,
           rows.size());
  return mix_predictions(answers, recommended(setup.set, setup.rows), weight);
}

Predictions ask(EvaluateSetup& setup, std::optional<double>& mix_weight) {
  check_memory(plan(setup), available_memory(), "evaluate", kMemoryHint);
  load_weights_of(*setup.model);
  Predictions predictions = ask_about(setup, setup.requests, "evaluate");
  if (!setup.options.mix.empty()) predictions = mixed(setup, predictions, mix_weight.emplace());
  predictions.stage = setup.model->card.stage;
  return predictions;
}

Predictions ask_teacher(const EvaluateSetup& setup) {
  const Catalogue& catalogue = setup.dataset.catalogue;
  const TemporalStatistics statistics =
      count_statistics(setup.dataset, load_split(setup.options.data));
  const auto teacher = make_teacher("program", catalogue, statistics, {});
  return answers_of_teacher(*teacher, catalogue, statistics, setup.requests,
                            setup.protocol.prompt.max_history, setup.options.protocol.seed);
}

Predictions rank(const EvaluateSetup& setup) {
  const EvaluateOptions& options = setup.options;
  Predictions predictions;
  if (options.model == "bayes") {
    predictions =
        rank_by_world(load_world(options.data), setup.dataset, setup.set.rows, setup.requests);
  } else if (options.model == "random") {
    predictions = rank_at_random(setup.requests, options.protocol.seed);
  } else if (options.model == "teacher") {
    predictions = ask_teacher(setup);
  } else {
    const auto recommender =
        load_recommender_of(options.model, setup.dataset.catalogue, options.numerics);
    predictions = rank_by_recommender(*recommender, setup.requests);
  }
  predictions.stage = is_bound(options.model)      ? "bound"
                      : options.model == "teacher" ? "teacher"
                                                   : "fit";
  return predictions;
}

}  // namespace

EvaluateSetup setup(const EvaluateOptions& options) {
  EvaluateSetup setup;
  setup.options = options;
  setup.protocol = options.protocol;
  setup.dataset = load_dataset(options.data);
  setup.candidates = options.candidates.empty() ? fs::path(options.data) / "candidates-test.jsonl"
                                                : fs::path(options.candidates);
  setup.set = load_candidates(setup.candidates, setup.dataset);
  const auto rows = static_cast<int64_t>(setup.set.rows.size());
  const int64_t count = options.limit > 0 ? std::min(options.limit, rows) : rows;
  if (count < rows) log_info("--limit: {} of {} rows", count, rows);
  setup.rows.resize(static_cast<size_t>(count));
  std::iota(setup.rows.begin(), setup.rows.end(), 0);
  if (is_named(options.model) || !is_language_model_folder(options.model)) {
    CHECK(options.ablate == "none", kUsage, "--ablate: only language models, found {}",
          options.model);
    CHECK(options.adapters.empty(), kUsage, "--adapter: only language models, found {}",
          options.model);
    CHECK(options.mix.empty(), kUsage, "--mix: only language models, found {}", options.model);
    setup.requests = make_requests(setup.dataset, setup.set, setup.rows, kRecommenderHistory);
    return setup;
  }
  setup.model = open_model_folder(options.model, catalogue_hash(setup.dataset.catalogue),
                                  options.dtype, options.numerics, options.adapters);
  setup.protocol.prompt = setup.model->card.prompt;
  setup.protocol.max_reasoning_tokens = setup.model->card.max_reasoning_tokens;
  setup.requests =
      make_requests(setup.dataset, setup.set, setup.rows, setup.protocol.prompt.max_history);
  // An ablation moves what the model sees, no more.
  setup.requests = ablate_requests(setup.requests, options.ablate, setup.protocol.seed);
  return setup;
}

MemoryEstimate plan(const EvaluateSetup& setup) {
  CHECK(setup.model.has_value(), kUsage, "--dry-run: only language models, found {}",
        setup.options.model);
  return estimate_asking(*setup.model, setup.dataset.catalogue, setup.requests, setup.protocol);
}

Evaluation run(EvaluateSetup setup) {
  Evaluation evaluation;
  Predictions& predictions = evaluation.predictions;
  predictions = setup.model ? ask(setup, evaluation.mix_weight) : rank(setup);
  const EvaluateOptions& options = setup.options;
  predictions.model =
      !options.name.empty() ? options.name : fs::path(options.model).filename().string();
  if (evaluation.mix_weight && options.name.empty())
    predictions.model += " + " + fs::path(options.mix).filename().string();
  if (options.ablate != "none") predictions.model += "/" + options.ablate;
  predictions.protocol = protocol_name(predictions.protocol, setup.set.options);
  predictions.candidates_hash = setup.set.hash;
  predictions.num_candidates = setup.set.options.count;
  predictions.seed = options.protocol.seed;
  evaluation.num_candidates = setup.set.options.count;
  evaluation.row = summarize(predictions, options.protocol.seed);
  return evaluation;
}

OrderedJson summary_of(const Evaluation& evaluation) {
  const RandomLevel level = random_level(evaluation.num_candidates);
  OrderedJson summary = {{"schema_version", 1}};
  summary.update(to_json(evaluation.row));
  if (evaluation.mix_weight) summary["mix_weight"] = *evaluation.mix_weight;
  summary["hit@1_by_slot"] = evaluation.row.hit1_by_slot;
  summary["random"] = {{"hit@1", level.hit1}, {"hit@10", level.hit10}, {"ndcg@10", level.ndcg10}};
  return summary;
}

}  // namespace etrlrec
