#include "method/stage.h"

#include <fmt/format.h>

#include <optional>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/calibration.h"
#include "eval/metrics.h"
#include "eval/protocol.h"
#include "eval/trend.h"
#include "method/unread_items.h"
#include "models/model_adapters.h"

namespace etrlrec {

std::vector<Request> validation_requests(const Study& study, const ModelCard& card,
                                         int64_t num_rows, const KnowledgeSource* knowledge) {
  const CandidateSet set = study.candidates("valid");
  const auto rows = spread_rows(std::ssize(set.rows), num_rows);
  return knowing_requests(study.dataset, set, rows, card.prompt.max_history, knowledge);
}

ValidationQuestions validation_questions(const Study& study, const LoadedModel& model,
                                         const ModelCard& card, int64_t num_rows, uint64_t seed,
                                         const KnowledgeSource* knowledge) {
  if (num_rows <= 0) return {};
  ValidationQuestions questions{validation_requests(study, card, num_rows, knowledge), {}};
  ProtocolOptions protocol;
  protocol.prompt = card.prompt;
  protocol.max_reasoning_tokens = card.max_reasoning_tokens;
  protocol.seed = seed;
  protocol.new_items = unread_items(card, study.dataset, study.folder);
  questions.ask = [&study, &model, protocol, requests = questions.requests] {
    return ask_language_model(*model.model, model.prompt_encoder(study.dataset.catalogue), requests,
                              protocol);
  };
  return questions;
}

EvaluateFn validation(const ValidationQuestions& questions) {
  if (!questions.ask) return {};
  return [ask = questions.ask](int64_t step) {
    const Predictions predictions = ask();
    std::map<std::string, double> sums;
    for (const Prediction& row : predictions.rows) {
      sums["hit@1"] += hit_at(row.rank, 1);
      sums["hit@10"] += hit_at(row.rank, 10);
      sums["ndcg@10"] += ndcg_at(row.rank, 10);
      sums["mrr"] += reciprocal_rank(row.rank);
      sums["valid_ratio"] += row.valid;
    }
    for (auto& [name, value] : sums) value /= static_cast<double>(predictions.rows.size());
    log_info("validation at step {}: hit@1 {:.4f}, ndcg@10 {:.4f}, valid {:.3f} ({} rows)", step,
             sums["hit@1"], sums["ndcg@10"], sums["valid_ratio"], predictions.rows.size());
    return sums;
  };
}

void attach_adapter(LanguageModel& model, LoraConfig config, int64_t num_rows,
                    const TrainerOptions& trainer) {
  if (config.r == 0) return;
  if (config.adalora && config.adalora->total_step == 0)
    config.adalora->total_step = planned_steps(num_rows, trainer);
  model.adapters().attach(config, trainer.seed);
}

void finish_model_folder(LanguageModel& model, const fs::path& parent, const ModelCard& card,
                         const fs::path& out) {
  const bool merges = model.lora().r > 0;
  if (merges) {
    const fs::path adapter = out / (card.soft_prompts.empty() ? "adapter" : "lora");
    fs::create_directories(adapter);
    save_adapter(model, parent.string(), adapter);
    log_info("adapter: merged, logits differ by at most {:.2g}", merge_adapter(model));
    if (!card.merged_dtype.empty())
      log_info("adapter: the merged weights keep the rounding of --dtype {}{}", card.merged_dtype,
               card.soft_prompts.empty()
                   ? fmt::format("; \"export merge\" puts {}/ into exact ones",
                                 adapter.filename().string())
                   : "");
  }
  for (const SoftPrompt& prompt : card.soft_prompts)
    save_prompt(model, prompt.name, parent.string(), prompt_folder(out, prompt.name));
  const fs::path exported = out / "export";
  save_model_folder(model, parent, card, exported, true, merges);
  for (const auto& entry : fs::directory_iterator(exported)) {
    if (entry.path().filename() != "etrlrec.json")
      fs::rename(entry.path(), out / entry.path().filename());
  }
  fs::rename(exported / "etrlrec.json", out / "etrlrec.json");
  fs::remove(exported);
}

namespace {

constexpr double kFewValid = 0.5;  // share of the reasonings

// An answer below a reasoning that never ended is worth less than one without any.
void find_unfinished(const Predictions& predictions, const ModelCard& card,
                     std::vector<std::string>& findings) {
  const auto count = static_cast<double>(predictions.rows.size());
  double valid = 0;
  for (const Prediction& row : predictions.rows) valid += row.valid;
  if (!card.prompt.reasoning || valid >= kFewValid * count) return;
  findings.push_back(fmt::format(
      "{:.0f} % of the reasonings about {} validation rows do not end in their form within {} "
      "tokens: the model has not learned to write them, and its answers suffer from it\nhint: a "
      "higher --learning-rate, more steps, or a higher --max-reasoning-tokens",
      100 * (1 - valid / count), predictions.rows.size(), card.max_reasoning_tokens));
  log_warning("{}", findings.back());
}

// What the card says about probabilities, and what is wrong with the reasonings; a stage without
// validation rows says nothing.
void learn_from_validation(const Study& study, const ValidationQuestions& questions,
                           ModelCard& card, std::vector<std::string>& findings) {
  card.temperature = 1;
  card.trend.reset();
  if (!questions.ask) return;
  const Predictions predictions = questions.ask();
  find_unfinished(predictions, card, findings);
  card.temperature = fit_temperature(answer_probabilities(predictions).value());
  Trend trend(study.dataset, learned_events(study.dataset, load_split(study.folder)));
  card.trend = choose_trend(trend, questions.requests, predictions);
}

}  // namespace

TrainingResult train_model(Objective& objective, const Study& study, const LoadedModel& model,
                           ModelCard card, TrainerOptions trainer, int64_t eval_rows,
                           const fs::path& parent, const fs::path& out,
                           const KnowledgeSource* knowledge, const EvaluateFn& also,
                           const TrainedTensors* trained) {
  if (trainer.label == TrainerOptions{}.label) trainer.label = card.stage;
  std::optional<RankAllocator> ranks;
  if (model.model->lora().adalora) ranks.emplace(model.model->parameters(), model.model->lora());
  const ValidationQuestions questions =
      validation_questions(study, model, card, eval_rows, trainer.seed, knowledge);
  EvaluateFn evaluate = validation(questions);
  if (evaluate && also)
    evaluate = [asked = evaluate, &also](int64_t step) {
      std::map<std::string, double> values = asked(step);
      values.merge(also(step));
      return values;
    };
  TrainingResult result = train(objective, trainer, out, evaluate, ranks ? &*ranks : nullptr);
  // The first step of a warm-up has rate 0.
  if (trained != nullptr && result.best_step > 1) trained->check_moved();
  if (ranks) model.model->adapters().set_rank_pattern(ranks->rank_pattern());
  learn_from_validation(study, questions, card, result.findings);
  finish_model_folder(*model.model, parent, card, out);
  return result;
}

OrderedJson to_json(const TrainingResult& result, const TrainerOptions& trainer,
                    const fs::path& out) {
  OrderedJson json{{"schema_version", 1}, {"steps", result.steps}, {"best_step", result.best_step}};
  if (result.best_metric) json[trainer.metric_for_best_model] = *result.best_metric;
  if (!result.findings.empty()) json["findings"] = result.findings;
  json["tokens"] = result.tokens;
  json["seconds"] = result.seconds;
  json["out"] = out.string();
  return json;
}

std::string format_training(const TrainingResult& result, const TrainerOptions& trainer) {
  std::string text = fmt::format("{} steps, {} tokens, {}", result.steps,
                                 format_count(static_cast<double>(result.tokens)),
                                 format_duration(result.seconds));
  if (result.best_metric)
    text += fmt::format("; best validation {} {:.4f} at step {}", trainer.metric_for_best_model,
                        *result.best_metric, result.best_step);
  return text + "\n";
}

}  // namespace etrlrec
