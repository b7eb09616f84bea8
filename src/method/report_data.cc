#include "method/report_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "eval/report_text.h"
#include "eval/time_line.h"
#include "temporal/claim_weights.h"
#include "temporal/gaps.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

std::string attribute_text(const Catalogue& catalogue, int32_t item) {
  std::string text;
  for (const int32_t attribute : catalogue.attributes_of(item)) {
    text += (text.empty() ? "" : " · ") + catalogue.attributes[static_cast<size_t>(attribute)];
  }
  return text;
}

const char* dimension_title(Dimension dimension) {
  switch (dimension) {
    case Dimension::kIS:
      return "interaction sequentiality";
    case Dimension::kIAT:
      return "item attribute transition";
    case Dimension::kUET:
      return "user evolving thought";
    default:
      return "link to the candidates";
  }
}

void add_history(const Catalogue& catalogue, const Request& request, ReportExample& example) {
  for (size_t j = 0; j < request.history.size(); ++j) {
    const int32_t item = request.history[j];
    TimeLineEvent event;
    event.title = catalogue.titles[static_cast<size_t>(item)];
    event.detail = attribute_text(catalogue, item);
    event.time = request.times[j];
    if (j > 0) event.gap = gap_word(gap_bucket(request.times[j] - request.times[j - 1]));
    example.history.push_back(std::move(event));
  }
  example.now = request.now;
  if (!request.times.empty())
    example.gap_to_now = gap_word(gap_bucket(request.now - request.times.back()));
}

void add_candidates(const Catalogue& catalogue, const Request& request,
                    const Prediction& prediction, const Prediction* reference,
                    ReportExample& example) {
  double reference_sum = 0;
  if (reference != nullptr) {
    for (const float score : reference->scores) reference_sum += score;
  }
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    ReportCandidate candidate;
    candidate.number = static_cast<int32_t>(k) + 1;
    candidate.title = catalogue.titles[static_cast<size_t>(request.candidates[k])];
    candidate.attributes = attribute_text(catalogue, request.candidates[k]);
    candidate.probability = k < prediction.scores.size() ? prediction.scores[k] : 0;
    if (reference_sum > 0) candidate.reference = reference->scores[k] / reference_sum;
    example.candidates.push_back(std::move(candidate));
  }
}

void add_plot(const std::map<std::string, Series>& metrics,
              const std::vector<std::pair<std::string, std::string>>& tags,
              const std::string& title, std::vector<LinePlot>& plots) {
  LinePlot plot;
  plot.title = title;
  plot.x_label = "optimiser step";
  for (const auto& [tag, label] : tags) {
    const auto found = metrics.find(tag);
    if (found == metrics.end() || found->second.x.size() < 2) continue;
    plot.series.push_back(found->second);
    plot.series.back().label = label;
  }
  if (!plot.series.empty()) plots.push_back(std::move(plot));
}

}  // namespace

ReportExample make_example(const Study& study, const RowView& view, const Prediction& prediction,
                           const Prediction* reference, const ClaimWeights& weights) {
  const Catalogue& catalogue = study.dataset.catalogue;
  const Request& request = view.request();
  ReportExample example;
  example.heading =
      fmt::format("user {}, test row {}", study.dataset.user_ids[static_cast<size_t>(request.user)],
                  prediction.row);
  add_history(catalogue, request, example);
  add_candidates(catalogue, request, prediction, reference, example);
  example.reasoning = prediction.reasoning;
  const std::vector<JudgedClaim> judged =
      judge_claims(view.claims(prediction.reasoning), view.context(), weights);
  example.explanation = explain(prediction.reasoning, judged, view.context(), view.style());
  for (const JudgedClaim& claim : judged) {
    example.claims.push_back(
        {claim.claim.begin, claim.claim.end, claim.verdict,
         fmt::format("{}, {:.1f} bits", dimension_title(claim.dimension), claim.weight)});
  }
  example.answer = prediction.answer;
  example.truth = request.target_slot + 1;
  return example;
}

std::vector<int64_t> example_rows(const Predictions& predictions, int64_t count) {
  std::vector<int64_t> hits, misses, chosen;
  for (size_t r = 0; r < predictions.rows.size(); ++r) {
    if (!predictions.rows[r].valid || predictions.rows[r].reasoning.empty()) continue;
    (hit_at(predictions.rows[r].rank, 1) > 0 ? hits : misses).push_back(static_cast<int64_t>(r));
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto& pool = (i % 3 == 2 && !misses.empty()) || hits.empty() ? misses : hits;
    if (pool.empty()) break;
    const int64_t row = pool[static_cast<size_t>(i) * pool.size() / static_cast<size_t>(count)];
    if (std::find(chosen.begin(), chosen.end(), row) == chosen.end()) chosen.push_back(row);
  }
  return chosen;
}

constexpr size_t kShownFields = 8;

// The fields that were learned last or not at all; a legend of twenty names helps nobody.
void keep_hardest(const std::map<std::string, Series>& metrics,
                  std::vector<std::pair<std::string, std::string>>& fields) {
  constexpr size_t kLast = 5;
  const auto level = [&](const auto& field) {
    const std::vector<double>& y = metrics.at(field.first).y;
    const size_t count = std::min(kLast, y.size());
    return std::accumulate(y.end() - static_cast<int64_t>(count), y.end(), 0.0) /
           static_cast<double>(std::max<size_t>(count, 1));
  };
  std::stable_sort(fields.begin(), fields.end(),
                   [&](const auto& a, const auto& b) { return level(a) < level(b); });
  if (fields.size() > kShownFields) fields.resize(kShownFields);
}

void add_curves(const std::filesystem::path& folder, const std::string& label, ReportData& report) {
  if (!std::filesystem::exists(folder / "metrics.jsonl")) return;
  const auto metrics = load_metrics(folder / "metrics.jsonl");
  add_plot(metrics, {{"train/loss", "loss"}, {"loss", "loss"}}, label + ": loss", report.curves);
  add_plot(metrics, {{"eval/hit@1", "hit@1"}, {"eval/ndcg@10", "ndcg@10"}}, label + ": validation",
           report.curves);
  std::vector<std::pair<std::string, std::string>> fields, rewards, health;
  for (const auto& [tag, series] : metrics) {
    if (const auto at = tag.find("accuracy/"); at != std::string::npos)
      fields.emplace_back(tag, tag.substr(at + 9));
    if (const auto at = tag.find("rewards/"); at != std::string::npos && tag.ends_with("/mean")) {
      rewards.emplace_back(tag, tag.substr(at + 8, tag.size() - at - 13));
    }
    for (const char* name :
         {"frac_reward_zero_std", "valid_ratio", "unique_ratio", "entropy", "kl"}) {
      if (tag == name || tag.ends_with(std::string("train/") + name))
        health.emplace_back(tag, name);
    }
  }
  const bool too_many = fields.size() > kShownFields;
  keep_hardest(metrics, fields);
  add_plot(metrics, fields,
           label + (too_many ? ": token accuracy, hardest fields" : ": token accuracy by field"),
           report.curves);
  add_plot(metrics, {{"train/reward", "reward"}, {"reward", "reward"}}, label + ": reward",
           report.rewards);
  add_plot(metrics, rewards, label + ": reward parts", report.rewards);
  add_plot(metrics, health, label + ": rollouts", report.rewards);
}

}  // namespace etrlrec
