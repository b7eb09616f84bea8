#include "method/evaluation_text.h"

#include <fmt/format.h>

#include "base/json.h"
#include "eval/report_text.h"

namespace etrlrec {

OrderedJson summary_of(const Evaluation& evaluation) {
  const RandomLevel level = random_level(evaluation.num_candidates);
  OrderedJson summary = {{"schema_version", 1}};
  summary.update(to_json(evaluation.row));
  if (const auto& calibration = evaluation.row.calibration) {
    summary["reliability"] = OrderedJson::array();
    for (const ReliabilityBin& bin : calibration->bins)
      summary["reliability"].push_back(
          {{"count", bin.count}, {"confidence", bin.confidence}, {"accuracy", bin.accuracy}});
  }
  if (!evaluation.mix_weights.empty()) summary["mix_weights"] = evaluation.mix_weights;
  if (evaluation.trend) summary["trend"] = to_json(*evaluation.trend);
  for (const auto& trend : evaluation.recommender_trends)
    summary["recommender_trends"].push_back(trend ? to_json(*trend) : OrderedJson());
  if (const auto& stage = evaluation.first_stage)
    summary["first_stage"] = {
        {"recommender", stage->recommender}, {"top_n", stage->top_n}, {"recall", stage->recall}};
  if (evaluation.beam_recall) summary["beam_recall@10"] = *evaluation.beam_recall;
  if (evaluation.reasoning) summary["reasoning"] = to_json(*evaluation.reasoning);
  if (evaluation.changes) summary["reasoning_change"] = to_json(*evaluation.changes);
  if (evaluation.collisions) summary["collisions"] = to_json(*evaluation.collisions);
  if (!evaluation.row.hit1_by_slot.empty()) summary["hit@1_by_slot"] = evaluation.row.hit1_by_slot;
  summary["random"] = {{"hit@1", level.hit1}, {"hit@10", level.hit10}, {"ndcg@10", level.ndcg10}};
  return summary;
}

std::string format_evaluation(const Evaluation& evaluation) {
  const MetricRow& row = evaluation.row;
  std::string text = fmt::format(
      "{} · {} · {} rows\nhit@1 {:.4f} [{:.4f}, {:.4f}]  hit@5 {:.4f}  hit@10 {:.4f}  ndcg@10 "
      "{:.4f}  mrr {:.4f}"
      "  valid {:.3f}  (random hit@1 {:.4f})\n",
      row.model, row.protocol, row.n, row.hit1.mean, row.hit1.low, row.hit1.high, row.hit5,
      row.hit10, row.ndcg10, row.mrr, row.valid_ratio,
      random_level(evaluation.num_candidates).hit1);
  if (row.calibration)
    text += fmt::format(
        "its probabilities: calibration error (ECE) {:.3f}, -log p of the target {:.3f}\n",
        row.calibration->ece, row.calibration->nll);
  if (evaluation.reasoning) text += reasoning_quality_text(*evaluation.reasoning) + "\n";
  if (evaluation.changes) text += reasoning_changes_text(*evaluation.changes) + "\n";
  if (evaluation.collisions) text += collisions_text(*evaluation.collisions) + "\n";
  if (const auto& stage = evaluation.first_stage)
    text += fmt::format("first stage: recall@{} of {} {:.4f}\n", stage->top_n, stage->recommender,
                        stage->recall);
  if (evaluation.beam_recall)
    text += fmt::format("recall@10 of the beam against exact scores: {:.4f} (first {} rows)\n",
                        *evaluation.beam_recall, evaluation.recall_rows);
  return text;
}

}  // namespace etrlrec
