// etrlrec distill: the student learns the teacher's reasoning and answers, or the answers alone.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/model_folder.h"
#include "method/stages.h"
#include "method/study.h"
#include "models/llm_adapters.h"

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
    const ParsedCompletion parsed = parse_completion(text, set.options.count);
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
  RowMaker(const DistillOptions& options, const Workspace& workspace, const CandidateSet& set,
           const LoadedModel& model)
      : options_(options), workspace_(workspace), set_(set), model_(model) {}

  // An answer of 0 means the target.
  void add(int64_t row, std::string_view reasoning, int32_t answer, bool with_reasoning) {
    const Request request = make_request(workspace_.dataset, set_, row, options_.max_history);
    PromptOptions prompt{options_.max_history, options_.with_times, with_reasoning};
    SftRow made = make_sft_row(
        *model_.tokenizer, student_prompt(workspace_.dataset.catalogue, request, prompt), reasoning,
        answer == 0 ? request.target_slot + 1 : answer,
        static_cast<int32_t>(request.candidates.size()), with_reasoning, names);
    made.prompt.insert(made.prompt.begin(), model_.virtual_tokens.begin(),
                       model_.virtual_tokens.end());
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
  const Workspace& workspace_;
  const CandidateSet& set_;
  const LoadedModel& model_;
};

std::vector<SftRow> make_rows(const DistillOptions& options, const Workspace& workspace,
                              const CandidateSet& set, const LoadedModel& model,
                              std::vector<std::string>& names) {
  RowMaker maker(options, workspace, set, model);
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

void add_field_weight(const std::string& text, SftOptions& options) {
  const size_t sign = text.find('=');
  char* end = nullptr;
  const double weight = sign == std::string::npos ? 0 : std::strtod(text.c_str() + sign + 1, &end);
  CHECK(sign != std::string::npos && end == text.c_str() + text.size() && weight > 0, kUsage,
        "--field-weight: expected NAME=WEIGHT with a positive weight, found \"{}\"", text);
  options.field_weights[text.substr(0, sign)] = weight;
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
                           std::span<const SftRow> rows) {
  std::vector<int64_t> tokens;
  for (const SftRow& row : rows)
    tokens.push_back(static_cast<int64_t>(row.prompt.size() + row.completion.size()));
  return estimate_training(model.config, options.lora, options.trainer, std::move(tokens),
                           options.sft.tokens_per_pass, model.storage,
                           std::ssize(model.virtual_tokens));
}

}  // namespace

MemoryEstimate estimate_distill(const DistillOptions& options) {
  const Workspace workspace = open_workspace(options.data);
  const CandidateSet set = workspace_candidates(workspace, "train");
  LoadedModel model = open_model_folder(options.model, workspace.hash, options.dtype);
  plan_prompt(options.model, options.prompt_tuning, model);
  std::vector<std::string> names;
  return estimate_of(options, model, make_rows(options, workspace, set, model, names));
}

TrainingResult distill(const DistillOptions& options) {
  CHECK(options.label_only || !options.reasoning.empty(), kUsage,
        "--reasoning: expected the folder of construct (or --label-only)");
  CHECK(!options.prompt_tuning || options.sft.prompt_weight == 0, kUsage,
        "--prompt-weight: not with --adapter prompt, whose virtual tokens are no targets");
  const Workspace workspace = open_workspace(options.data);
  const CandidateSet set = workspace_candidates(workspace, "train");
  LoadedModel model = open_model_folder(options.model, workspace.hash, options.dtype);
  const PromptTuningConfig prompt = plan_prompt(options.model, options.prompt_tuning, model);

  ModelCard card;
  card.stage = options.label_only ? "label-only" : "distill";
  card.catalogue_hash = workspace.hash;
  card.prompt = {options.max_history, options.with_times, !options.label_only};
  card.max_reasoning_tokens = options.max_reasoning_tokens;
  card.parent = options.model;
  card.num_virtual_tokens = std::ssize(model.virtual_tokens);
  card.merged_dtype = model.card.merged_dtype;
  if (options.lora.r > 0 && options.dtype != "float32") card.merged_dtype = options.dtype;

  SftOptions sft = options.sft;
  std::vector<SftRow> rows = make_rows(options, workspace, set, model, sft.field_names);
  check_field_weights(sft);
  check_memory(estimate_of(options, model, rows), available_memory(), "distill",
               kTrainingMemoryHint);
  load_weights_of(options.model, model);
  if (prompt.num_virtual_tokens > 0) attach_prompt(*model.llm, prompt, options.trainer.seed);
  attach_adapter(*model.llm, options.lora, static_cast<int64_t>(rows.size()), options.trainer);
  SftObjective objective(*model.llm, std::move(rows), sft);
  return train_model(objective, workspace, model, card, options);
}

void add_distill(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("distill", "train a student language model on the teacher's reasoning");
  command.alias("sft");
  auto options = std::make_shared<DistillOptions>();
  auto adapter = std::make_shared<AdapterOptions>();
  auto field_weights = std::make_shared<std::vector<std::string>>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("--reasoning", options->reasoning, "folder of construct");
  command.add_option("-m,--model", options->model, "language model folder to start from")
      .required()
      .existing_folder();
  command
      .add_option("-o,--out", options->out, "model folder to fill; an unfinished one is continued")
      .required();
  command.add_flag("--label-only", options->label_only, "train on the answers without reasoning");
  command
      .add_option("--direct-share", options->direct_share,
                  "share of the rows trained as a direct answer, too")
      .range(0.0, 1.0);
  command
      .add_option("--sft-share", options->sft_share,
                  "share of the training rows for distill; reinforce uses the others")
      .range(0.0, 1.0);
  command.add_flag("--times,!--no-times", options->with_times, "times in the prompt");
  command.add_option("--max-history", options->max_history, "history entries in a prompt");
  command.add_option("--max-reasoning-tokens", options->max_reasoning_tokens,
                     "budget of a reasoning; longer rows are dropped");
  command.add_option("--limit", options->limit, "training rows, 0: all");
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation");
  command
      .add_option("--loss-type", options->sft.loss_type,
                  "segment: answer and reasoning weigh alike")
      .one_of({"segment", "token"});
  command.add_option("--answer-weight", options->sft.answer_weight, "of the answer's tokens");
  command.add_option("--prompt-weight", options->sft.prompt_weight, "of the prompt's tokens");
  command
      .add_option("--neftune-noise-alpha", options->sft.neftune_noise_alpha,
                  "noise on the input embeddings, e.g. 5; 0: none")
      .at_least(0);
  command
      .add_option(
          "--tokens-per-pass", options->sft.tokens_per_pass,
          "a micro-batch of more tokens takes several forward and backward passes (the same "
          "gradient, less memory), 0: always one")
      .at_least(0);
  command
      .add_option("--field-weight", *field_weights,
                  "NAME=WEIGHT of a field of the reasoning, e.g. pick/2=5; repeatable")
      .repeatable();
  add_training_options(command, options->trainer);
  add_adapter_options(command, *adapter);
  add_dtype(command, options->dtype);
  auto dry_run = std::make_shared<bool>(false);
  add_dry_run(command, *dry_run);
  command.on_run([options, adapter, field_weights, dry_run, command, &common] {
    const Stopwatch watch;
    for (const std::string& text : *field_weights) add_field_weight(text, options->sft);
    options->trainer.seed = common.seed;
    options->lora = adapter->config();
    options->prompt_tuning = adapter->prompt();
    check_trainable(options->dtype, *adapter);
    options->sft.accuracy_steps = options->trainer.logging_steps;
    if (*dry_run) {
      report_estimate(estimate_distill(*options), "distill", common);
      return;
    }
    const TrainingResult result = distill(*options);
    write_run_record(options->out, command, common,
                     {{"data", options->data}, {"model", options->model}}, watch.seconds());
    report_training(result, options->trainer, options->out, common);
  });
}

}  // namespace etrlrec
