#include "method/distill.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/model_folder.h"
#include "method/prompt_adapter.h"
#include "method/sft_row.h"
#include "method/stage.h"
#include "method/study.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

struct TeacherRow {
  int64_t row = 0;
  int32_t answer = 0;
  std::string reasoning;
};

// reasoning.jsonl of construct; checks that it was written for this candidate file and history
// length.
std::vector<TeacherRow> read_reasoning(const DistillOptions& options, const CandidateSet& set) {
  const fs::path folder = options.reasoning;
  const std::string record_name = (folder / "construct.json").string();
  const Json made = get<Json>(read_json(record_name), "options", record_name);
  CHECK(get<std::string>(made, "candidates", record_name) == set.hash, kModel,
        "{}: written for another candidate file", folder.string());
  CHECK(get<int32_t>(made, "max_history", record_name) == options.max_history, kUsage,
        "--max-history: the reasoning was written for {}, found {}",
        get<int32_t>(made, "max_history", record_name), options.max_history);
  CHECK(get<bool>(made, "with_times", record_name) == options.with_times, kUsage,
        "--times: the reasoning was written {} times",
        get<bool>(made, "with_times", record_name) ? "with" : "without");
  std::vector<TeacherRow> rows;
  const fs::path path = folder / "reasoning.jsonl";
  for_each_json_line(path, [&](const Json& line, int64_t number) {
    const std::string name = fmt::format("{}:{}", path.string(), number);
    const Json meta = get<Json>(line, "meta", name);
    const auto text = get<std::string>(line, "completion", name);
    TeacherRow row;
    row.row = get<int64_t>(meta, "row", name);
    CHECK(row.row >= 0 && row.row < static_cast<int64_t>(set.rows.size()), kInput,
          "{}: row: expected 0 to {}, found {}", name, set.rows.size() - 1, row.row);
    const ParsedCompletion parsed = parse_completion(text, set.options.count, PromptOptions());
    CHECK(parsed.code == AnswerCode::kValid, kInput, "{}: completion: {}", name,
          answer_code_name(parsed.code));
    row.answer = parsed.answer;
    row.reasoning = std::string(parsed.reasoning);
    rows.push_back(std::move(row));
  });
  return rows;
}

class RowMaker {
 public:
  RowMaker(const DistillOptions& options, const Study& study, const CandidateSet& set,
           const LoadedModel& model)
      : options_(options), study_(study), set_(set), model_(model) {}

  // An answer of 0 means the target.
  void add(int64_t row, std::string_view reasoning, int32_t answer, bool with_reasoning) {
    const Request request = make_request(study_.dataset, set_, row, options_.max_history);
    PromptOptions prompt{options_.max_history, options_.with_times, with_reasoning};
    SftRow made =
        make_sft_row(*model_.tokenizer, student_prompt(study_.dataset.catalogue, request, prompt),
                     reasoning, answer == 0 ? request.target_slot + 1 : answer,
                     static_cast<int32_t>(request.candidates.size()), prompt, names);
    made.prompt.insert(made.prompt.begin(), model_.virtual_tokens.begin(),
                       model_.virtual_tokens.end());
    made.prompt.insert(made.prompt.end(), model_.end_tokens.begin(), model_.end_tokens.end());
    const int64_t close = made.answer_begin;  // reasoning and closing tags stand before the answer
    if (with_reasoning && close > options_.max_reasoning_tokens) {
      ++too_long;
      return;
    }
    tokens += static_cast<int64_t>(made.prompt.size() + made.completion.size());
    longest = std::max(longest, close);
    rows.push_back(std::move(made));
  }

  std::vector<SftRow> rows;
  std::vector<std::string> names;
  int64_t too_long = 0, tokens = 0, longest = 0;

 private:
  const DistillOptions& options_;
  const Study& study_;
  const CandidateSet& set_;
  const LoadedModel& model_;
};

std::vector<SftRow> make_rows(const DistillOptions& options, const Study& study,
                              const CandidateSet& set, const LoadedModel& model,
                              std::vector<std::string>& names) {
  RowMaker maker(options, study, set, model);
  const uint64_t seed = options.trainer.seed;
  const auto is_full = [&] {
    return options.limit > 0 && static_cast<int64_t>(maker.rows.size()) >= options.limit;
  };
  const auto total = static_cast<int64_t>(set.rows.size());
  if (options.label_only) {
    for (int64_t row = 0; row < total && !is_full(); ++row)
      if (is_distillation_row(seed, row, options.sft_share)) maker.add(row, {}, 0, false);
  } else {
    for (const TeacherRow& row : read_reasoning(options, set)) {
      if (is_full()) break;
      if (!is_distillation_row(seed, row.row, options.sft_share)) continue;
      maker.add(row.row, row.reasoning, row.answer, true);
      Rng rng(seed, "direct answers", static_cast<uint64_t>(row.row));
      if (rng.chance(options.direct_share)) maker.add(row.row, {}, 0, false);
    }
  }
  CHECK(!maker.rows.empty(), kInput,
        "distill: no rows to train on ({} had more than {} reasoning tokens)", maker.too_long,
        options.max_reasoning_tokens);
  log_info("distill: {} rows, {} tokens, longest reasoning {} tokens, {} rows dropped as too long",
           maker.rows.size(), format_count(static_cast<double>(maker.tokens)), maker.longest,
           maker.too_long);
  names = std::move(maker.names);
  return std::move(maker.rows);
}

// A weight for a field that no row has would be lost silently.
void check_field_weights(const SftOptions& options) {
  for (const auto& [name, weight] : options.field_weights)
    CHECK(std::find(options.field_names.begin(), options.field_names.end(), name) !=
              options.field_names.end(),
          kUsage, "--field-weight: no field \"{}\"; known: {}", name,
          fmt::join(options.field_names, ", "));
}

MemoryEstimate estimate_of(const DistillOptions& options, const LoadedModel& model,
                           const PromptPlan& prompt, std::span<const SftRow> rows) {
  std::vector<RowTokens> tokens;
  for (const SftRow& row : rows)
    tokens.push_back({std::ssize(row.prompt), std::ssize(row.completion)});
  return estimate_training(*model.model, {options.lora, prompt.num_trained_tokens}, options.trainer,
                           std::move(tokens), options.sft.tokens_per_pass);
}

}  // namespace

MemoryEstimate estimate_distill(const DistillOptions& options) {
  const Study study = open_study(options.data);
  const CandidateSet set = study.candidates("train");
  LoadedModel model =
      open_model_folder(options.model, study.catalogue_hash, options.dtype, options.numerics);
  const PromptPlan prompt = plan_prompt(options.model, options.prompt_tuning, model);
  std::vector<std::string> names;
  return estimate_of(options, model, prompt, make_rows(options, study, set, model, names));
}

TrainingResult distill(const DistillOptions& options) {
  CHECK(options.label_only || !options.reasoning.empty(), kUsage,
        "--reasoning: expected the folder of construct (or --label-only)");
  CHECK(!options.prompt_tuning || options.sft.prompt_weight == 0, kUsage,
        "--prompt-weight: not with --adapter prompt, whose virtual tokens are no targets");
  const Study study = open_study(options.data);
  const CandidateSet set = study.candidates("train");
  LoadedModel model =
      open_model_folder(options.model, study.catalogue_hash, options.dtype, options.numerics);
  const PromptPlan prompt = plan_prompt(options.model, options.prompt_tuning, model);

  ModelCard card;
  card.stage = options.label_only ? "label-only" : "distill";
  card.catalogue_hash = study.catalogue_hash;
  card.prompt = {options.max_history, options.with_times, !options.label_only};
  card.max_reasoning_tokens = options.max_reasoning_tokens;
  card.parent = options.model;
  card.soft_prompts = model.card.soft_prompts;
  card.merged_dtype = model.card.merged_dtype;
  if (options.lora.r > 0 && options.dtype != "float32") card.merged_dtype = options.dtype;

  SftOptions sft = options.sft;
  std::vector<SftRow> rows = make_rows(options, study, set, model, sft.field_names);
  check_field_weights(sft);
  check_memory(estimate_of(options, model, prompt, rows), available_memory(), "distill",
               kTrainingMemoryHint);
  load_weights_of(model);
  attach_planned_prompt(*model.model, prompt, options.trainer.seed);
  attach_adapter(*model.model, options.lora, static_cast<int64_t>(rows.size()), options.trainer);
  SftObjective objective(*model.model, std::move(rows), sft);
  return train_model(objective, study, model, card, options.trainer, options.eval_rows,
                     options.model, options.out);
}

}  // namespace etrlrec
