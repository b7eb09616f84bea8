#include "method/distill.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/age_weights.h"
#include "method/candidate_draw.h"
#include "method/construct.h"
#include "method/row.h"
#include "method/sft_row.h"
#include "method/stage.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

struct TeacherRow {
  int64_t row = 0;
  int32_t answer = 0;
  std::string reasoning;
};

std::vector<TeacherRow> read_reasoning(const fs::path& folder, const RowSource& source) {
  std::vector<TeacherRow> rows;
  const fs::path path = folder / "reasoning.jsonl";
  for_each_json_line(path, [&](const Json& line, int64_t number) {
    const std::string name = fmt::format("{}:{}", path.string(), number);
    const Json meta = get<Json>(line, "meta", name);
    const auto text = get<std::string>(line, "completion", name);
    TeacherRow row;
    row.row = get<int64_t>(meta, "row", name);
    CHECK(row.row >= 0 && row.row < source.size(), kInput, "{}: row: expected 0 to {}, found {}",
          name, source.size() - 1, row.row);
    const ParsedCompletion parsed =
        parse_completion(text, source.view(row.row).answers(), source.prompt());
    CHECK(parsed.code == AnswerCode::kValid, kInput, "{}: completion: {}", name,
          answer_code_name(parsed.code));
    row.answer = parsed.answer;
    row.reasoning = std::string(parsed.reasoning);
    rows.push_back(std::move(row));
  });
  return rows;
}

const char* with_or_without(bool with) { return with ? "with" : "without"; }

// The prompt of the run: that of the reasoning folder, or of the model with the options' changes.
PromptOptions prompt_of(const DistillOptions& options, const CandidateSet& set, bool order_only,
                        const ModelCard& card, std::optional<PatternRecord>& pattern) {
  if (options.reasoning.empty()) {
    PromptOptions prompt = card.prompt;
    prompt.max_history = options.max_history.value_or(prompt.max_history);
    prompt.with_times = options.with_times.value_or(prompt.with_times) && !order_only;
    prompt.with_attributes = options.with_attributes.value_or(prompt.with_attributes);
    if (!options.style.empty()) prompt.style = find_style(options.style, "--style").name;
    pattern = card.pattern;
    if (!options.knowledge) return prompt;
    prompt.knowledge = *options.knowledge;
    prompt.knowledge_items = options.knowledge_items;
    prompt.recommender.clear();
    pattern.reset();
    return prompt;
  }
  const ReasoningRecord record = read_reasoning_record(options.reasoning);
  CHECK(record.candidates == set.hash, kModel, "{}: written for another candidate file",
        options.reasoning);
  CHECK(card.catalogue_hash.empty() || record.prompt.style == card.prompt.style, kUsage,
        "{}: written in the style {}, but {} reads the style {}\nhint: construct --style {}",
        options.reasoning, record.prompt.style, options.model, card.prompt.style,
        card.prompt.style);
  CHECK(card.catalogue_hash.empty() || record.prompt.answer == card.prompt.answer, kUsage,
        "{}: its answers are {}s, but {} answers by {}\nhint: construct --answer {}",
        options.reasoning, answer_kind_name(record.prompt.answer), options.model,
        answer_kind_name(card.prompt.answer), answer_kind_name(card.prompt.answer));
  CHECK(card.catalogue_hash.empty() || record.prompt.with_attributes == card.prompt.with_attributes,
        kUsage, "{}: its prompts are {} attributes, but {} reads them {}\nhint: construct {}",
        options.reasoning, with_or_without(record.prompt.with_attributes), options.model,
        with_or_without(card.prompt.with_attributes),
        card.prompt.with_attributes ? "--attributes" : "--no-attributes");
  CHECK(!options.max_history && !options.with_times && !options.with_attributes &&
            options.style.empty() && !options.knowledge,
        kUsage,
        "--max-history, --times, --attributes, --style, --knowledge: only without --reasoning; {} "
        "was written for {} entries {} times and {} attributes in the style {}",
        options.reasoning, record.prompt.max_history, with_or_without(record.prompt.with_times),
        with_or_without(record.prompt.with_attributes), record.prompt.style);
  pattern = record.pattern;
  return record.prompt;
}

// Gives the rows what their prompts show, and what the reasoning speaks of. Returns the rows that
// may be learned from, ascending; nothing where all may.
std::optional<std::vector<int64_t>> add_knowledge(const DistillOptions& options,
                                                  std::optional<PatternRecord> recorded,
                                                  RowSource& source, DistillSetup& setup) {
  const std::string& artefact = options.reasoning.empty() ? options.model : options.reasoning;
  check_no_pattern(source.prompt(), options.recommenders, artefact);
  setup.knowledge = open_knowledge(source.prompt(), recorded, options.recommenders,
                                   load_split(setup.study->folder).protocol, setup.study->dataset,
                                   options.numerics, artefact);
  if (!setup.knowledge) return std::nullopt;
  CHECK(options.reasoning.empty() || setup.knowledge->record() == recorded, kModel,
        "{}: written with the patterns of another {} than {}\n"
        "hint: --recommender as it was given to construct",
        options.reasoning, recorded->recommender, fmt::join(options.recommenders, ", "));
  if (options.knowledge && setup.knowledge->record())
    source.name_recommender(setup.knowledge->record()->recommender);
  return add_training_knowledge(*setup.knowledge, source);
}

// Turns rows of the candidate file into rows to be trained on.
class RowMaker {
 public:
  RowMaker(const DistillOptions& options, const RowSource& source, const LoadedModel& model)
      : options_(options), source_(source), model_(model), around_(model.frame(source.prompt())) {}

  // An answer of 0 means the target.
  void add(int64_t row, std::string_view reasoning, int32_t answer, bool with_reasoning,
           double weight) {
    PromptOptions prompt = source_.prompt();
    prompt.reasoning = with_reasoning;
    const RowView view = source_.view(row, prompt);
    AnswerEncoding encoding = encode_answers(*model_.tokenizer, view.answers(), prompt);
    if (answer == 0) answer = view.request().target_slot + 1;
    SftRow made = make_sft_row(*model_.tokenizer,
                               view.encoding(*model_.tokenizer, around_.before, around_.after),
                               reasoning, answer, encoding, prompt, names);
    made.weight = weight;
    const int64_t close = made.answer_begin;  // reasoning and closing tags stand before the answer
    if (with_reasoning && close > options_.max_reasoning_tokens) {
      ++too_long;
      return;
    }
    tokens += static_cast<int64_t>(made.prompt.size() + made.completion.size());
    longest = std::max(longest, close);
    if (options_.answer_loss == "candidates")
      candidate_rows.push_back({made.prompt,
                                {made.completion.begin(), made.completion.begin() + close},
                                std::move(encoding.answers),
                                answer - 1,
                                weight});
    rows.push_back(std::move(made));
  }

  std::vector<SftRow> rows;
  std::vector<CandidateRow> candidate_rows;
  std::vector<std::string> names;
  int64_t too_long = 0, tokens = 0, longest = 0;

 private:
  const DistillOptions& options_;
  const RowSource& source_;
  const LoadedModel& model_;
  const ChatFrame around_;
};

// What may be trained on, in the order of the file: reasoning of distillation rows, or with
// label_only the rows themselves; not what the model has read or, outside of `open`, the
// recommender of a pattern has learned from.
std::vector<TeacherRow> eligible_rows(const DistillOptions& options, const RowSource& source,
                                      const DistillationRows& chosen,
                                      std::optional<int64_t> read_until,
                                      const std::optional<std::vector<int64_t>>& open) {
  std::vector<TeacherRow> rows;
  if (options.label_only) {
    for (int64_t row = 0; row < source.size(); ++row) rows.push_back({row, 0, {}});
  } else {
    rows = read_reasoning(options.reasoning, source);
  }
  const auto is_known = [&](int64_t row) {
    return (read_until && source.request_time(row) <= *read_until) ||
           (open && !std::binary_search(open->begin(), open->end(), row));
  };
  std::erase_if(
      rows, [&](const TeacherRow& row) { return !chosen.contains(row.row) || is_known(row.row); });
  return rows;
}

void make_rows(const RowSource& source, const DistillationRows& chosen,
               const std::optional<std::vector<int64_t>>& open, DistillSetup& setup) {
  const DistillOptions& options = setup.options;
  RowMaker maker(options, source, setup.model);
  const uint64_t seed = options.trainer.seed;
  const std::vector<TeacherRow> eligible =
      eligible_rows(options, source, chosen, setup.card.read_until, open);
  std::vector<int64_t> drawn = draw_limited(std::ssize(eligible), options.limit, seed);
  std::sort(drawn.begin(), drawn.end());
  AgeWeights ages;
  if (options.half_life_days != 0 && !drawn.empty()) {
    std::vector<int64_t> times;
    for (const int64_t index : drawn)
      times.push_back(source.request_time(eligible[static_cast<size_t>(index)].row));
    ages = {times, options.half_life_days};
  }
  for (const int64_t index : drawn) {
    const TeacherRow& row = eligible[static_cast<size_t>(index)];
    const float weight = ages.at(source.request_time(row.row));
    maker.add(row.row, row.reasoning, options.answers == "target" ? 0 : row.answer,
              !options.label_only, weight);
    if (options.label_only) continue;
    Rng rng(seed, "direct answers", static_cast<uint64_t>(row.row));
    if (rng.chance(options.direct_share)) maker.add(row.row, {}, 0, false, weight);
  }
  CHECK(!maker.rows.empty(), kInput,
        "distill: no rows to train on ({} had more than {} reasoning tokens{})", maker.too_long,
        options.max_reasoning_tokens,
        setup.card.read_until ? ", and the model has read the rows up to its --train-share" : "");
  log_info("distill: {} rows, {} tokens, longest reasoning {} tokens, {} rows dropped as too long",
           maker.rows.size(), format_count(static_cast<double>(maker.tokens)), maker.longest,
           maker.too_long);
  setup.options.sft.field_names = std::move(maker.names);
  setup.rows = std::move(maker.rows);
  setup.candidate_rows = std::move(maker.candidate_rows);
}

// A weight for a field that no row has would be lost silently.
void check_field_weights(const SftOptions& options) {
  for (const auto& [name, weight] : options.field_weights)
    CHECK(std::find(options.field_names.begin(), options.field_names.end(), name) !=
              options.field_names.end(),
          kUsage, "--field-weight: no field \"{}\"; known: {}", name,
          fmt::join(options.field_names, ", "));
}

ModelCard card_of(const DistillOptions& options, const Study& study, const PromptOptions& prompt,
                  const DistillationRows& rows, const LoadedModel& model) {
  ModelCard card = child_card(model, options.lora, options.dtype);
  card.stage = options.label_only ? "label-only" : "distill";
  card.catalogue_hash = study.catalogue_hash;
  card.prompt = prompt;
  card.prompt.reasoning = !options.label_only;
  card.max_reasoning_tokens = options.max_reasoning_tokens;
  card.distillation_rows = rows;
  return card;
}

// How the options that shape the tokens' loss would be lost silently.
void check_answer_loss(const DistillOptions& options) {
  CHECK(options.answer_loss == "tokens" || options.answer_loss == "candidates", kUsage,
        "--answer-loss: expected tokens or candidates, found \"{}\"", options.answer_loss);
  if (options.answer_loss == "tokens") return;
  const SftOptions& sft = options.sft;
  CHECK(sft.loss_type == "segment" && sft.prompt_weight == 0 && sft.neftune_noise_alpha == 0 &&
            sft.field_weights.empty() && options.direct_share == 0,
        kUsage,
        "--answer-loss candidates: --loss-type token, --prompt-weight, --neftune-noise-alpha, "
        "--field-weight and --direct-share are options of --answer-loss tokens");
}

void check_negatives(const DistillOptions& options) {
  CHECK(options.negatives == "file" || options.negatives == "popular", kUsage,
        "--negatives: expected file or popular, found \"{}\"", options.negatives);
  CHECK(options.negatives == "file" || (options.label_only && options.answer_loss == "candidates" &&
                                        (options.reasoning.empty() || options.answers == "target")),
        kUsage,
        "--negatives popular: a reasoning speaks of the candidates of the file\n"
        "hint: --label-only --answer-loss candidates, with --reasoning also --answers target");
}

std::unique_ptr<Objective> make_objective(DistillSetup& setup) {
  LanguageModel& model = *setup.model.model;
  const DistillOptions& options = setup.options;
  if (options.answer_loss == "candidates")
    return std::make_unique<CandidateObjective>(
        model, std::move(setup.candidate_rows),
        CandidateLossOptions{options.sft.answer_weight, options.sft.hidden_dropout,
                             options.sft.tokens_per_pass});
  return std::make_unique<SftObjective>(model, std::move(setup.rows), options.sft);
}

}  // namespace

void add_field_weight(const std::string& text, SftOptions& options) {
  const size_t sign = text.find('=');
  char* end = nullptr;
  const double weight = sign == std::string::npos ? 0 : std::strtod(text.c_str() + sign + 1, &end);
  CHECK(sign != std::string::npos && end == text.c_str() + text.size() && weight > 0, kUsage,
        "--field-weight: expected NAME=WEIGHT with a positive weight, found \"{}\"", text);
  options.field_weights[text.substr(0, sign)] = weight;
}

DistillSetup setup(const DistillOptions& options) {
  CHECK(options.answers == "teacher" || options.answers == "target", kUsage,
        "--answers: expected teacher or target, found \"{}\"", options.answers);
  CHECK(options.label_only || !options.reasoning.empty(), kUsage,
        "--reasoning: expected the folder of construct (or --label-only)");
  check_answer_loss(options);
  check_negatives(options);
  CHECK(!options.prompt_tuning || options.sft.prompt_weight == 0, kUsage,
        "--prompt-weight: not with --adapter prompt, whose virtual tokens are no targets");
  DistillSetup setup;
  setup.options = options;
  setup.study = std::make_unique<const Study>(open_study(options.data));
  const Study& study = *setup.study;
  CandidateSet set = study.candidates("train");
  const std::string rows_hash = set.hash;
  setup.model = open_with_prompt(options.model, study.catalogue_hash, options.dtype,
                                 options.numerics, options.init_prompt);
  std::optional<PatternRecord> recorded;
  const PromptOptions prompt =
      prompt_of(options, set, setup.study->dataset.order_only, setup.model.card, recorded);
  if (options.negatives == "popular")
    set = among_popular(study.dataset, load_split(study.folder), set);
  RowSource source(study, std::move(set), prompt);
  const auto open = add_knowledge(options, recorded, source, setup);
  setup.prompt = plan_prompt(options.model, options.prompt_tuning, setup.model, options.lora);
  const DistillationRows chosen{options.sft_share, options.trainer.seed, rows_hash};
  setup.card = card_of(options, study, source.prompt(), chosen, setup.model);
  if (setup.knowledge) setup.card.pattern = setup.knowledge->record();
  make_rows(source, chosen, open, setup);
  check_field_weights(setup.options.sft);
  return setup;
}

MemoryEstimate plan(const DistillSetup& setup) {
  const DistillOptions& options = setup.options;
  std::vector<RowTokens> tokens;
  for (const SftRow& row : setup.rows)
    tokens.push_back({std::ssize(row.prompt), std::ssize(row.completion)});
  return estimate_training(*setup.model.model, {options.lora, setup.prompt.num_trained_tokens},
                           options.trainer, std::move(tokens), options.sft.tokens_per_pass);
}

TrainingResult run(DistillSetup setup) {
  check_memory(plan(setup), available_memory(), "distill", kTrainingMemoryHint);
  const DistillOptions& options = setup.options;
  LoadedModel& model = setup.model;
  load_weights_of(model);
  attach_planned_prompt(*model.model, setup.prompt, options.trainer.seed);
  attach_adapter(*model.model, options.lora, std::ssize(setup.rows), options.trainer);
  const std::optional<TrainedTensors> trained = trained_tensors(*model.model, setup.prompt);
  const std::unique_ptr<Objective> objective = make_objective(setup);
  return train_model(*objective, *setup.study, model, setup.card, options.trainer,
                     options.eval_rows, options.model, options.out, setup.knowledge.get(), {},
                     trained ? &*trained : nullptr);
}

TrainingResult distill(const DistillOptions& options) { return run(setup(options)); }

}  // namespace etrlrec
