#include "method/evaluation_catalogue.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/histories.h"
#include "data/synthetic.h"
#include "data/world_file.h"
#include "eval/mix.h"
#include "eval/reranking.h"
#include "eval/title_beam.h"
#include "method/evaluation_choices.h"
#include "method/fit.h"
#include "method/row.h"

namespace etrlrec {
namespace {

constexpr int64_t kRecallRows = 100;  // on which beams are compared with exact scores, at most

using Recommenders = std::vector<std::unique_ptr<Recommender>>;

FullRows full_rows(const Dataset& dataset, std::vector<Row> rows, bool mask_seen) {
  FullRows full;
  full.tasks = ranking_tasks(dataset, rows);
  full.rows = std::move(rows);
  full.mask_seen = mask_seen;
  return full;
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

// A recommender's first items, ranked by the language model.
Predictions rank_retrieved(const EvaluateSetup& setup, Evaluation& evaluation) {
  const EvaluateOptions& options = setup.options;
  const FullRows& rows = *setup.full;
  const int64_t num_items = setup.dataset.catalogue.num_items();
  const auto recommender = load_recommender_of(options.retrieve, setup.dataset, options.numerics);
  ProgressBar bar("retrieve", std::ssize(rows.rows));
  const FirstStage stage =
      retrieve(rows, num_items, ask_recommender(*recommender, rows), options.top_n,
               [&bar](int64_t done, int64_t) { bar.update(done); });
  evaluation.first_stage = {folder_name(options.retrieve), stage.count, stage.recall};
  std::vector<Request> requests = setup.requests;
  set_candidates(rows, stage, options.protocol.seed, requests);
  if (setup.knowledge != nullptr) {
    std::vector<Request> whole = requests_of(rows, kRecommenderHistory, nullptr);
    for (size_t r = 0; r < whole.size(); ++r) whole[r].candidates = requests[r].candidates;
    setup.knowledge->fill(whole, rows.mask_seen, requests);
  }
  return reranked(rows, num_items, stage, requests, ask_about(setup, requests, "evaluate"));
}

}  // namespace

void set_up_catalogue(EvaluateSetup& setup) {
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

Predictions rank_everything(const EvaluateSetup& setup, Evaluation& evaluation) {
  const EvaluateOptions& options = setup.options;
  const FullRows& rows = *setup.full;
  const int64_t num_items = setup.dataset.catalogue.num_items();
  if (!options.retrieve.empty()) return rank_retrieved(setup, evaluation);
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

}  // namespace etrlrec
