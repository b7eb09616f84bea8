#include "method/evaluate.h"

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/candidate_file.h"
#include "data/synthetic.h"
#include "data/world_file.h"
#include "eval/ablation.h"
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

bool is_bound(const std::string& model) { return model == "bayes" || model == "random"; }
// Models that have no folder.
bool is_named(const std::string& model) { return is_bound(model) || model == "teacher"; }

Predictions ask(EvaluateSetup& setup) {
  check_memory(plan(setup), available_memory(), "evaluate", kMemoryHint);
  LoadedModel& model = *setup.model;
  load_weights_of(model);
  ProgressBar bar("evaluate", static_cast<int64_t>(setup.requests.size()));
  Predictions predictions = ask_language_model(
      *model.model, model.prompt_encoder(setup.dataset.catalogue), setup.requests, setup.protocol,
      [&bar](int64_t done, int64_t) { bar.update(done); });
  predictions.stage = model.card.stage;
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
  const auto add_requests = [&](int32_t max_history) {
    for (int64_t r = 0; r < count; ++r)
      setup.requests.push_back(make_request(setup.dataset, setup.set, r, max_history));
  };
  if (is_named(options.model) || !is_language_model_folder(options.model)) {
    CHECK(options.ablate == "none", kUsage, "--ablate: only language models, found {}",
          options.model);
    CHECK(options.adapters.empty(), kUsage, "--adapter: only language models, found {}",
          options.model);
    add_requests(kRecommenderHistory);
    return setup;
  }
  setup.model = open_model_folder(options.model, catalogue_hash(setup.dataset.catalogue),
                                  options.dtype, options.numerics, options.adapters);
  setup.protocol.prompt = setup.model->card.prompt;
  setup.protocol.max_reasoning_tokens = setup.model->card.max_reasoning_tokens;
  add_requests(setup.protocol.prompt.max_history);
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
  predictions = setup.model ? ask(setup) : rank(setup);
  const EvaluateOptions& options = setup.options;
  predictions.model =
      !options.name.empty() ? options.name : fs::path(options.model).filename().string();
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
  summary["hit@1_by_slot"] = evaluation.row.hit1_by_slot;
  summary["random"] = {{"hit@1", level.hit1}, {"hit@10", level.hit10}, {"ndcg@10", level.ndcg10}};
  return summary;
}

}  // namespace etrlrec
