#include "method/evaluate.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "data/candidate_file.h"
#include "data/synthetic.h"
#include "data/world_file.h"
#include "eval/ablation.h"
#include "eval/candidate_orders.h"
#include "method/evaluation_catalogue.h"
#include "method/evaluation_choices.h"
#include "method/fit.h"
#include "method/row.h"
#include "method/unread_items.h"
#include "models/model_files.h"
#include "models/recommender.h"
#include "temporal/statistics.h"
#include "temporal/teachers.h"

namespace etrlrec {
namespace {

constexpr const char* kMemoryHint = "a smaller model";
constexpr const char* kAllItems = "all";  // of --candidates

bool is_bound(const std::string& model) { return model == "bayes" || model == "random"; }
// Models that have no folder.
bool is_named(const std::string& model) { return is_bound(model) || model == "teacher"; }

Predictions ask(const EvaluateSetup& setup, Evaluation& evaluation) {
  Answered answered{ask_about(setup, setup.requests, "evaluate"), {}};
  if (setup.options.mix.empty() && !setup.options.trend) return std::move(answered.rows);
  const Validation valid = validation_of(setup);
  answered.valid = ask_about(setup, valid.requests, "validation");
  if (setup.options.trend) correct(setup, valid, "the model", evaluation.trend, answered);
  if (setup.options.mix.empty()) return std::move(answered.rows);
  return mixed(setup, valid, std::move(answered), evaluation);
}

Predictions rank_by_folder(const EvaluateSetup& setup, Evaluation& evaluation) {
  const auto recommender = load_for(setup, setup.options.model);
  const Predictions answers = rank_by_recommender(*recommender, setup.requests);
  if (!setup.options.trend) return answers;
  const auto trend = trend_of(setup, recommender.get(), evaluation);
  return trend ? with_trend(answers, setup.requests, *trend) : answers;
}

Predictions ask_teacher(const EvaluateSetup& setup) {
  const Catalogue& catalogue = setup.dataset.catalogue;
  const TemporalStatistics statistics =
      count_statistics(setup.dataset, load_split(setup.options.data));
  const auto teacher = make_teacher("program", catalogue, statistics, {});
  return answers_of_teacher(*teacher, catalogue, statistics, setup.requests,
                            setup.protocol.prompt.max_history, setup.options.protocol.seed);
}

Predictions rank(const EvaluateSetup& setup, Evaluation& evaluation) {
  const EvaluateOptions& options = setup.options;
  if (options.model == "bayes")
    return rank_by_world(load_world(options.data), setup.dataset, setup.set.rows, setup.requests);
  if (options.model == "random") return rank_at_random(setup.requests, options.protocol.seed);
  if (options.model == "teacher") return ask_teacher(setup);
  return rank_by_folder(setup, evaluation);
}

// Claims are judged with what was counted in the training part, as the teacher's were.
std::optional<ReasoningQuality> quality_of(const EvaluateSetup& setup,
                                           const Predictions& predictions) {
  if (!setup.model || setup.full || !setup.protocol.prompt.reasoning) return std::nullopt;
  const Catalogue& catalogue = setup.dataset.catalogue;
  const TemporalStatistics statistics =
      count_statistics(setup.dataset, load_split(setup.options.data));
  ReasoningQuality quality;
  for (size_t i = 0; i < predictions.rows.size(); ++i) {
    const RowView view(catalogue, &statistics, setup.requests[i], setup.protocol.prompt);
    quality.add(predictions.rows[i].reasoning, view);
  }
  return quality;
}

std::string stage_of(const EvaluateSetup& setup) {
  if (setup.model) return setup.model->card.stage;
  const std::string& model = setup.options.model;
  return is_bound(model) ? "bound" : model == "teacher" ? "teacher" : "fit";
}

void check_full_options(const EvaluateOptions& options) {
  if (options.candidates != kAllItems) {
    CHECK(!options.mask_seen, kUsage, "--mask-seen: only with --candidates all");
    CHECK(options.beam == 0, kUsage, "--beam: only with --candidates all");
    CHECK(options.retrieve.empty(), kUsage, "--retrieve: only with --candidates all");
    return;
  }
  CHECK(options.model != "teacher", kUsage,
        "--candidates all: the teacher reasons about listed candidates and scores none");
  CHECK(options.protocol.name == "likelihood", kUsage,
        "--candidates all: expected --protocol likelihood, found {}", options.protocol.name);
  CHECK(!options.trend || (options.beam == 0 && options.mix.empty()), kUsage,
        "--trend: with --candidates all neither --beam nor --mix");
  CHECK(options.beam == 0 || options.mix.empty(), kUsage,
        "--beam: --mix needs the scores of all titles\nhint: leave --beam out");
  CHECK(options.beam == 0 || options.protocol.reasonings == 1, kUsage,
        "--beam: expected one reasoning, found --reasonings {}", options.protocol.reasonings);
  CHECK(options.protocol.permutations == 1 || !options.retrieve.empty(), kUsage,
        "--permutations: with --candidates all only with --retrieve, which lists candidates");
  CHECK(options.retrieve.empty() || (options.beam == 0 && options.mix.empty() && !options.trend),
        kUsage, "--retrieve: with neither --beam nor --mix nor --trend");
}

// A trend changes probabilities, and those of models alone.
void check_trend(const EvaluateOptions& options) {
  if (!options.trend) return;
  CHECK(!is_named(options.model), kUsage, "--trend: only models and recommenders, found {}",
        options.model);
  CHECK(options.protocol.name == "likelihood", kUsage,
        "--trend: expected --protocol likelihood, found {}", options.protocol.name);
  CHECK(!moves_request_time(options.ablate), kUsage,
        "--trend: reads the request time, which --ablate {} moves", options.ablate);
}

void set_up_candidates(EvaluateSetup& setup) {
  const EvaluateOptions& options = setup.options;
  setup.candidates = options.candidates.empty() ? fs::path(options.data) / "candidates-test.jsonl"
                                                : fs::path(options.candidates);
  setup.set = load_candidates(setup.candidates, setup.dataset);
  const auto rows = static_cast<int64_t>(setup.set.rows.size());
  const int64_t count = options.limit > 0 ? std::min(options.limit, rows) : rows;
  if (count < rows) log_info("--limit: {} of {} rows", count, rows);
  setup.rows.resize(static_cast<size_t>(count));
  std::iota(setup.rows.begin(), setup.rows.end(), 0);
}

// As many candidates as will be retrieved, for the estimate of memory.
void some_candidates(const EvaluateSetup& setup, Request& request) {
  const int64_t items = setup.dataset.catalogue.num_items();
  request.candidates.resize(static_cast<size_t>(std::min(setup.options.top_n, items)));
  std::iota(request.candidates.begin(), request.candidates.end(), 0);
}

}  // namespace

EvaluateSetup setup(const EvaluateOptions& options) {
  EvaluateSetup setup;
  setup.options = options;
  setup.protocol = options.protocol;
  check_full_options(options);
  check_trend(options);
  setup.dataset = load_dataset(options.data);
  if (options.candidates == kAllItems)
    set_up_catalogue(setup);
  else
    set_up_candidates(setup);
  const auto requests = [&setup](int32_t max_history) {
    const KnowledgeSource* knowledge = setup.knowledge.get();
    return setup.full
               ? requests_of(*setup.full, max_history, knowledge)
               : knowing_requests(setup.dataset, setup.set, setup.rows, max_history, knowledge);
  };
  if (is_named(options.model) || !is_language_model_folder(options.model)) {
    CHECK(options.ablate == "none", kUsage, "--ablate: only language models, found {}",
          options.model);
    CHECK(options.adapters.empty(), kUsage, "--adapter: only language models, found {}",
          options.model);
    CHECK(options.dtype == EvaluateOptions{}.dtype, kUsage,
          "--dtype: only language models, found {}", options.model);
    CHECK(options.model == "teacher" || options.protocol.name == ProtocolOptions{}.name, kUsage,
          "--protocol: only language models, found {}", options.model);
    CHECK(options.protocol.permutations == 1, kUsage,
          "--permutations: only language models, found {}", options.model);
    CHECK(options.mix.empty(), kUsage, "--mix: only language models, found {}", options.model);
    CHECK(options.recommender.empty(), kUsage, "--recommender: only language models, found {}",
          options.model);
    CHECK(options.beam == 0, kUsage, "--beam: only language models, found {}", options.model);
    CHECK(options.retrieve.empty(), kUsage, "--retrieve: only language models, found {}",
          options.model);
    CHECK(!options.new_items || !is_named(options.model), kUsage,
          "--new-items: only recommenders, found {}", options.model);
    if (options.new_items) {
      setup.protocol.new_items = measured_new_items(setup.dataset, load_split(options.data));
      CHECK(setup.protocol.new_items, kInput,
            "--new-items: {}: no validation row after the training part asks for a new item",
            options.data);
    }
    if (!setup.full) setup.requests = requests(kRecommenderHistory);
    return setup;
  }
  CHECK(!options.new_items, kUsage,
        "--new-items: only recommenders; etrlrec.json of {} says what it does about new items",
        options.model);
  setup.model = open_model_folder(options.model, catalogue_hash(setup.dataset.catalogue),
                                  options.dtype, options.numerics, options.adapters);
  setup.protocol.prompt = setup.model->card.prompt;
  setup.protocol.max_reasoning_tokens = setup.model->card.max_reasoning_tokens;
  setup.protocol.new_items = unread_items(setup.model->card, setup.dataset, options.data);
  // It was fitted among candidates.
  const bool all_at_once = setup.full && options.retrieve.empty();
  if (!all_at_once) setup.protocol.temperature = setup.model->card.temperature;
  if (setup.protocol.name == "flipped-claims" || setup.protocol.name == "flipped-facts")
    setup.protocol.statistics = std::make_shared<const TemporalStatistics>(
        count_statistics(setup.dataset, load_split(options.data)));
  check_orders(setup.protocol.prompt, setup.protocol.permutations);
  if (all_at_once) check_answers_by_title(*setup.model);
  const ModelCard& card = setup.model->card;
  check_no_pattern(card.prompt, options.recommender, options.model);
  setup.knowledge = open_knowledge(card.prompt, card.pattern, options.recommender, setup.dataset,
                                   options.numerics, options.model);
  // An ablation moves what the model sees, no more.
  setup.requests = ablate_requests(requests(setup.protocol.prompt.max_history), options.ablate,
                                   setup.protocol.seed);
  return setup;
}

MemoryEstimate plan(const EvaluateSetup& setup) {
  CHECK(setup.model.has_value(), kUsage, "--dry-run: only language models, found {}",
        setup.options.model);
  if (!setup.full)
    return estimate_asking(*setup.model, setup.dataset.catalogue, setup.requests, setup.protocol);
  std::vector<Request> requests = setup.requests;
  if (!setup.options.retrieve.empty())
    for (Request& request : requests) some_candidates(setup, request);
  else if (setup.options.beam == 0)
    requests.at(0).candidates = distinct_titles(setup.dataset.catalogue).items;
  return estimate_asking(*setup.model, setup.dataset.catalogue, requests, setup.protocol);
}

Evaluation run(EvaluateSetup setup) {
  Evaluation evaluation;
  Predictions& predictions = evaluation.predictions;
  if (setup.model) {
    check_memory(plan(setup), available_memory(), "evaluate", kMemoryHint);
    load_weights_of(*setup.model);
  }
  predictions = setup.full    ? rank_everything(setup, evaluation)
                : setup.model ? ask(setup, evaluation)
                              : rank(setup, evaluation);
  predictions.stage = stage_of(setup);
  evaluation.reasoning = quality_of(setup, predictions);
  if (setup.model && setup.protocol.name == "verbalizer")
    evaluation.collisions =
        count_collisions(*setup.model->tokenizer, setup.dataset.catalogue,
                         find_style(setup.protocol.prompt.style), setup.requests);
  const EvaluateOptions& options = setup.options;
  predictions.model =
      !options.name.empty() ? options.name : fs::path(options.model).filename().string();
  if (options.name.empty())
    for (const std::string& folder : options.mix) predictions.model += " + " + folder_name(folder);
  if (options.ablate != "none") predictions.model += "/" + options.ablate;
  const CandidateOptions& candidates = setup.set.options;
  predictions.protocol =
      setup.full ? full_protocol_name(predictions.protocol, candidates.count, options.mask_seen)
                 : protocol_name(predictions.protocol, candidates);
  predictions.candidates_hash = setup.set.hash;
  predictions.num_candidates = candidates.count;
  predictions.seed = options.protocol.seed;
  evaluation.num_candidates = candidates.count;
  evaluation.row = summarize(predictions, options.protocol.seed);
  evaluation.changes = summarize_changes(predictions, options.protocol.seed);
  if (setup.full) evaluation.row.hit1_by_slot.clear();  // a slot is an item
  return evaluation;
}

}  // namespace etrlrec
