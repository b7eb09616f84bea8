#include "method/evaluation_choices.h"

#include "base/io.h"
#include "base/log.h"
#include "data/candidate_file.h"
#include "eval/mix.h"
#include "method/candidate_draw.h"
#include "method/fit.h"
#include "method/row.h"
#include "method/unread_items.h"

namespace etrlrec {
namespace {

// Chooses the trend on answers to the validation rows; none where it does not help. `whose`: for
// the log.
std::optional<Trend> chosen_trend(const EvaluateSetup& setup, const Validation& valid,
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

}  // namespace

std::string folder_name(const std::string& folder) { return fs::path(folder).filename().string(); }

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

std::optional<Trend> trend_of(const EvaluateSetup& setup, const Recommender* recommender,
                              Evaluation& evaluation) {
  const Validation valid = validation_of(setup);
  return chosen_trend(setup, valid,
                      recommender != nullptr ? rank_by_recommender(*recommender, valid.requests)
                                             : ask_about(setup, valid.requests, "validation"),
                      "the model", evaluation.trend);
}

void correct(const EvaluateSetup& setup, const Validation& valid, const std::string& whose,
             std::optional<TrendOptions>& chosen, Answered& answered) {
  const auto trend = chosen_trend(setup, valid, answered.valid, whose, chosen);
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

}  // namespace etrlrec
