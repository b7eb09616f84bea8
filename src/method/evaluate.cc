#include "method/evaluate.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/candidate_file.h"
#include "data/histories.h"
#include "data/synthetic.h"
#include "data/world_file.h"
#include "eval/ablation.h"
#include "eval/mix.h"
#include "eval/title_beam.h"
#include "method/candidate_draw.h"
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
constexpr const char* kAllItems = "all";   // of --candidates
constexpr int64_t kValidationRows = 1000;  // that choices are made on, at most
constexpr int64_t kRecallRows = 100;       // on which beams are compared with exact scores, at most

using Recommenders = std::vector<std::unique_ptr<Recommender>>;

std::string folder_name(const std::string& folder) { return fs::path(folder).filename().string(); }

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

std::unique_ptr<Recommender> load_for(const EvaluateSetup& setup, const std::string& folder) {
  return with_new_items(load_recommender_of(folder, setup.dataset, setup.options.numerics),
                        setup.protocol.new_items);
}

// The validation rows that a mix's weight and a trend are chosen on. Where the rows stand among
// popular candidates, so do they: what tells popular items apart is not what tells any items apart.
struct Validation {
  CandidateSet set;
  std::vector<int64_t> rows;
  std::vector<Request> requests;  // for the model that is evaluated
};

Validation validation_of(const EvaluateSetup& setup) {
  Validation valid;
  valid.set =
      load_candidates(fs::path(setup.options.data) / "candidates-valid.jsonl", setup.dataset);
  if (setup.set.options.kind == CandidateKind::kPopular)
    valid.set = among_popular(setup.dataset, load_split(setup.options.data), valid.set);
  valid.rows = spread_rows(std::ssize(valid.set.rows), kValidationRows);
  valid.requests = setup.model
                       ? knowing_requests(setup.dataset, valid.set, valid.rows,
                                          setup.protocol.prompt.max_history, setup.knowledge.get())
                       : make_requests(setup.dataset, valid.set, valid.rows, kRecommenderHistory);
  return valid;
}

// What one model says about the rows and about the validation rows.
struct Answered {
  Predictions rows, valid;
};

// Chooses the trend on answers to the validation rows; none where it does not help. `whose`: for
// the log.
std::optional<Trend> trend_of(const EvaluateSetup& setup, const Validation& valid,
                              const Predictions& valid_answers, const std::string& whose,
                              std::optional<TrendOptions>& chosen) {
  Trend trend(setup.dataset, learned_events(setup.dataset, load_split(setup.options.data)));
  chosen = choose_trend(trend, valid.requests, valid_answers);
  if (!chosen) {
    log_info("trend of {}: none that helps, on {} validation rows", whose, valid.rows.size());
    return std::nullopt;
  }
  log_info(
      "trend of {}: half-life {} days, pseudo count {}, power {}, chosen on {} validation rows",
      whose, chosen->half_life_days, chosen->pseudo_count, chosen->power, valid.rows.size());
  return trend;
}

// The same for the model that is evaluated; `recommender`: where it is one.
std::optional<Trend> trend_of(const EvaluateSetup& setup, const Recommender* recommender,
                              Evaluation& evaluation) {
  const Validation valid = validation_of(setup);
  return trend_of(setup, valid,
                  recommender != nullptr ? rank_by_recommender(*recommender, valid.requests)
                                         : ask_about(setup, valid.requests, "validation"),
                  "the model", evaluation.trend);
}

void correct(const EvaluateSetup& setup, const Validation& valid, const std::string& whose,
             std::optional<TrendOptions>& chosen, Answered& answered) {
  const auto trend = trend_of(setup, valid, answered.valid, whose, chosen);
  if (!trend) return;
  answered.rows = with_trend(answered.rows, setup.requests, *trend);
  answered.valid = with_trend(answered.valid, valid.requests, *trend);
}

void note_weight(const std::string& recommender, double weight, size_t num_rows,
                 std::vector<double>& weights) {
  weights.push_back(weight);
  log_info("mix with {}: weight {:.2f} of what is there, chosen on {} validation rows",
           folder_name(recommender), weight, num_rows);
}

// The answers mixed with recommenders' scores, which follow trends of their own; the weights come
// from validation rows.
Predictions mixed(const EvaluateSetup& setup, const Validation& valid, Answered answered,
                  Evaluation& evaluation) {
  for (const std::string& folder : setup.options.mix) {
    const auto recommender = load_for(setup, folder);
    const auto recommended = [&](const CandidateSet& set, std::span<const int64_t> rows) {
      return rank_by_recommender(*recommender,
                                 make_requests(setup.dataset, set, rows, kRecommenderHistory));
    };
    Answered second{recommended(setup.set, setup.rows), recommended(valid.set, valid.rows)};
    if (setup.options.trend)
      correct(setup, valid, "recommender " + folder_name(folder),
              evaluation.recommender_trends.emplace_back(), second);
    const double weight = choose_mix_weight(answered.valid, second.valid);
    note_weight(folder, weight, valid.rows.size(), evaluation.mix_weights);
    answered = {mix_predictions(answered.rows, second.rows, weight),
                mix_predictions(answered.valid, second.valid, weight)};
  }
  return std::move(answered.rows);
}

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

FullRows full_rows(const Dataset& dataset, std::vector<Row> rows, bool mask_seen) {
  FullRows full;
  full.tasks = ranking_tasks(dataset, rows);
  full.rows = std::move(rows);
  full.mask_seen = mask_seen;
  return full;
}

// What a language model is asked about the rows, without candidates; `knowledge` may be null.
std::vector<Request> requests_of(const FullRows& rows, int32_t max_history,
                                 const KnowledgeSource* knowledge) {
  std::vector<Request> requests;
  for (size_t r = 0; r < rows.tasks.size(); ++r) {
    const HistoryView& history = rows.tasks[r].history;
    Request& request = requests.emplace_back();
    request.user = rows.rows[r].user;
    request.now = history.now;
    set_recent_history(history.items, history.times, max_history, request);
  }
  if (knowledge != nullptr)
    knowledge->fill(requests_of(rows, kRecommenderHistory, nullptr), rows.mask_seen, requests);
  return requests;
}

// The test rows of the split, known by everything that says what they and their candidates are.
void set_up_full(EvaluateSetup& setup) {
  const EvaluateOptions& options = setup.options;
  const Split split = load_split(options.data);
  CHECK(!split.test.empty(), kInput, "{}: the split has no test rows", options.data);
  std::vector<Row> rows = split.test;
  if (options.limit > 0 && options.limit < std::ssize(rows)) {
    log_info("--limit: {} of {} rows", options.limit, rows.size());
    rows.resize(static_cast<size_t>(options.limit));
  }
  setup.full = full_rows(setup.dataset, std::move(rows), options.mask_seen);
  setup.candidates = fs::path(options.data) / "split.json";
  setup.set.hash = sha256_hex(fmt::format("whole catalogue, mask_seen={}, {}", options.mask_seen,
                                          sha256_file(setup.candidates)));
  setup.set.options.count = static_cast<int32_t>(setup.dataset.catalogue.num_items());
}

AskCatalogue ask_about_all(const EvaluateSetup& setup, const std::vector<Request>& requests) {
  const LoadedModel& model = *setup.model;
  return ask_titles(*model.model, model.prompt_encoder(setup.dataset.catalogue), requests,
                    setup.protocol);
}

// The language model and recommenders, mixed with weights of validation rows.
AskCatalogue mixed_about_all(const EvaluateSetup& setup, const Recommenders& recommenders,
                             std::vector<double>& weights) {
  const std::vector<Row> all = load_split(setup.options.data).valid;
  std::vector<Row> chosen;
  for (const int64_t row : spread_rows(std::ssize(all), kValidationRows))
    chosen.push_back(all[static_cast<size_t>(row)]);
  CHECK(!chosen.empty(), kInput, "--mix: {}: the split has no validation rows", setup.options.data);
  const FullRows valid = full_rows(setup.dataset, std::move(chosen), setup.full->mask_seen);
  const auto requests =
      requests_of(valid, setup.protocol.prompt.max_history, setup.knowledge.get());
  AskCatalogue ask = ask_about_all(setup, setup.requests),
               about_valid = ask_about_all(setup, requests);
  for (size_t i = 0; i < recommenders.size(); ++i) {
    ProgressBar bar("validation", std::ssize(valid.rows));
    const double weight =
        choose_full_mix_weight(valid, setup.dataset.catalogue.num_items(), about_valid,
                               ask_recommender(*recommenders[i], valid),
                               [&bar](int64_t done, int64_t) { bar.update(done); });
    note_weight(setup.options.mix[i], weight, valid.rows.size(), weights);
    ask = ask_mix(ask, ask_recommender(*recommenders[i], *setup.full), weight);
    if (i + 1 < recommenders.size())
      about_valid = ask_mix(about_valid, ask_recommender(*recommenders[i], valid), weight);
  }
  return ask;
}

Predictions rank_by_beam(const EvaluateSetup& setup, Evaluation& evaluation) {
  const LoadedModel& model = *setup.model;
  const FullRows& rows = *setup.full;
  const TitleBeam beam(*model.model, model.prompt_encoder(setup.dataset.catalogue), setup.protocol,
                       setup.options.beam);
  evaluation.recall_rows = std::min<int64_t>(kRecallRows, std::ssize(rows.rows));
  evaluation.beam_recall = recall_of_beam(rows, beam, ask_about_all(setup, setup.requests),
                                          setup.requests, evaluation.recall_rows);
  ProgressBar bar("evaluate", std::ssize(rows.rows));
  Predictions predictions =
      rank_by_beam(rows, beam, setup.dataset.catalogue.num_items(), setup.requests,
                   [&bar](int64_t done, int64_t) { bar.update(done); });
  predictions.protocol = fmt::format("beam{}", setup.options.beam);
  return predictions;
}

Predictions rank_everything(const EvaluateSetup& setup, Evaluation& evaluation) {
  const EvaluateOptions& options = setup.options;
  const FullRows& rows = *setup.full;
  const int64_t num_items = setup.dataset.catalogue.num_items();
  if (options.beam > 0) return rank_by_beam(setup, evaluation);
  Recommenders recommenders;
  const auto load = [&](const std::string& folder) -> const Recommender& {
    return *recommenders.emplace_back(load_for(setup, folder));
  };
  World world;
  AskCatalogue ask;
  if (setup.model) {
    for (const std::string& folder : options.mix) load(folder);
    ask = options.mix.empty() ? ask_about_all(setup, setup.requests)
                              : mixed_about_all(setup, recommenders, evaluation.mix_weights);
  } else if (options.model == "bayes") {
    world = load_world(options.data);
    ask = ask_world(world, rows);
  } else if (options.model == "random") {
    ask = ask_at_random(num_items, options.protocol.seed);
  } else {
    ask = ask_recommender(load(options.model), rows);
  }
  std::optional<Trend> trend;
  if (options.trend) {
    const Recommender* const asked = recommenders.empty() ? nullptr : recommenders[0].get();
    trend = trend_of(setup, asked, evaluation);
    if (trend) ask = with_trend(std::move(ask), rows, *trend);
  }
  ProgressBar bar("evaluate", std::ssize(rows.rows));
  return rank_catalogue(rows, num_items, ask, [&bar](int64_t done, int64_t) { bar.update(done); });
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
}

// A trend changes probabilities, and those of models alone.
void check_trend(const EvaluateOptions& options) {
  if (!options.trend) return;
  CHECK(!is_named(options.model), kUsage, "--trend: only models and recommenders, found {}",
        options.model);
  CHECK(options.protocol.name == "likelihood", kUsage,
        "--trend: expected --protocol likelihood, found {}", options.protocol.name);
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

}  // namespace

EvaluateSetup setup(const EvaluateOptions& options) {
  EvaluateSetup setup;
  setup.options = options;
  setup.protocol = options.protocol;
  check_full_options(options);
  check_trend(options);
  setup.dataset = load_dataset(options.data);
  if (options.candidates == kAllItems)
    set_up_full(setup);
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
    CHECK(options.mix.empty(), kUsage, "--mix: only language models, found {}", options.model);
    CHECK(options.recommender.empty(), kUsage, "--recommender: only language models, found {}",
          options.model);
    CHECK(options.beam == 0, kUsage, "--beam: only language models, found {}", options.model);
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
  if (!setup.full) setup.protocol.temperature = setup.model->card.temperature;
  if (setup.full) check_answers_by_title(*setup.model);
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
  if (setup.options.beam == 0)
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
  if (setup.full) evaluation.row.hit1_by_slot.clear();  // a slot is an item
  return evaluation;
}

}  // namespace etrlrec
