#include "method/soft_prompt.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/row.h"
#include "method/soft_prompt_rows.h"
#include "method/stage.h"
#include "temporal/encoding.h"
#include "temporal/masked_tasks.h"
#include "temporal/prompts.h"
#include "tuning/trained_tensors.h"

namespace etrlrec {
namespace {

constexpr const char* kRecordFile = "soft_prompt.json";
constexpr int64_t kUsualVirtualTokens = 100;

bool has_task(const SoftPromptOptions& options, const char* task) {
  return std::find(options.tasks.begin(), options.tasks.end(), task) != options.tasks.end();
}

void check_tasks(const SoftPromptOptions& options) {
  for (const std::string& task : options.tasks) {
    CHECK(task == kAnalysisTask || task == kSimulatingTask, kUsage,
          "--tasks: expected {} or {}, found \"{}\"", kAnalysisTask, kSimulatingTask, task);
    CHECK(std::count(options.tasks.begin(), options.tasks.end(), task) == 1, kUsage,
          "--tasks: {} is named twice", task);
  }
  CHECK(has_task(options, kSimulatingTask) || options.recommenders.empty(), kUsage,
        "--recommender: its lists belong to the task {}", kSimulatingTask);
  CHECK(!has_task(options, kSimulatingTask) || options.num_candidates > options.list_items, kUsage,
        "--num-candidates: expected more than the {} items of a list, found {}", options.list_items,
        options.num_candidates);
  CHECK(options.example_items == 0 || options.example_items >= kFewestExampleItems, kUsage,
        "--example-items: expected 0 or at least {}, found {}", kFewestExampleItems,
        options.example_items);
}

ModelCard card_of_prompt(const SoftPromptOptions& options, const Study& study,
                         const LoadedModel& model) {
  ModelCard card = model.card;
  card.stage = "soft-prompt";
  card.catalogue_hash = study.catalogue_hash;
  card.parent = model.folder.string();
  PromptOptions& prompt = card.prompt;
  CHECK(prompt.answer == AnswerKind::kTitle, kUsage,
        "{}: answers by number, the tasks of soft prompts by title\n"
        "hint: etrlrec pretrain makes a model that answers by title",
        model.folder.string());
  CHECK(prompt.knowledge == Knowledge::kNone, kUsage,
        "{}: its prompts show knowledge ({}), which soft prompts are to replace",
        model.folder.string(), knowledge_name(prompt.knowledge));
  prompt.max_history = options.max_history.value_or(prompt.max_history);
  CHECK(prompt.max_history >= 3, kUsage, "--max-history: expected at least 3, found {}",
        prompt.max_history);
  prompt.with_times = prompt.with_times && !study.dataset.order_only;
  if (!options.style.empty()) prompt.style = find_style(options.style, "--style").name;
  prompt.list_candidates = prompt.list_candidates || options.list_candidates;
  return card;
}

// A prompt that the folder has already is trained further and has its start; a new one gets what
// the options leave unsaid.
PromptTuningOptions prompt_options(const SoftPromptOptions& options, const ModelCard& card) {
  PromptTuningOptions asked = options.prompt;
  const auto is_named = [&](const SoftPrompt& prompt) { return prompt.name == asked.prompt_name; };
  const bool present = std::any_of(card.soft_prompts.begin(), card.soft_prompts.end(), is_named);
  CHECK(!present || asked.prompt_tuning_init.empty(), kUsage,
        "--prompt-tuning-init: {} has a trained prompt \"{}\", which is trained further\n"
        "hint: leave it out, or --prompt-name another one",
        options.model, asked.prompt_name);
  if (asked.num_virtual_tokens == 0 && !present) asked.num_virtual_tokens = kUsualVirtualTokens;
  if (asked.prompt_tuning_init.empty())
    asked.prompt_tuning_init = present ? PromptTuningOptions{}.prompt_tuning_init : "sample_vocab";
  return asked;
}

// Prompts of the tasks and of what they serve, as token ids.
class PromptRows {
 public:
  PromptRows(const LoadedModel& model, const Catalogue& catalogue, PromptOptions prompt)
      : model_(model), catalogue_(catalogue), prompt_(std::move(prompt)) {
    prompt_.reasoning = false;
    around_ = model.frame(prompt_);
  }
  const PromptOptions& prompt() const { return prompt_; }

  CandidateRow row(const Request& request, const std::string& text) const {
    CandidateRow made;
    made.prompt = encode_between(*model_.tokenizer, around_.before, text, around_.after);
    made.answers =
        encode_answers(*model_.tokenizer, answer_texts(catalogue_, request, prompt_), prompt_)
            .answers;
    made.target = request.target_slot;
    return made;
  }

 private:
  const LoadedModel& model_;
  const Catalogue& catalogue_;
  PromptOptions prompt_;
  ChatFrame around_;
};

// Rows of a candidate file that every chosen task can ask about, with their lists.
struct AskedRows {
  std::vector<int64_t> rows;                // indices into the file
  std::vector<std::vector<int32_t>> lists;  // of rps, else empty ones
};

// Asks the tasks of a setup about rows.
class TaskMaker {
 public:
  explicit TaskMaker(const SoftPromptSetup& setup)
      : options_(setup.options),
        dataset_(setup.study->dataset),
        prompts_(setup.model, dataset_.catalogue, setup.card.prompt),
        split_(load_split(setup.study->folder)),
        rows_(dataset_, split_,
              {options_.num_candidates, setup.card.prompt.max_history, options_.trainer.seed}) {
    if (has_task(options_, kSimulatingTask))
      lists_.emplace(options_.recommenders, dataset_, split_.protocol, options_.numerics,
                     options_.list_items);
  }

  std::vector<CrossFittedLists::Record> recommenders() const {
    return lists_ ? lists_->records() : std::vector<CrossFittedLists::Record>{};
  }

  // Those of these rows that can be asked about.
  AskedRows askable(const CandidateSet& set, std::span<const int64_t> among) const {
    std::vector<Row> rows;
    for (const int64_t row : among) rows.push_back(set.rows[static_cast<size_t>(row)]);
    std::vector<std::vector<int32_t>> lists(rows.size());
    if (lists_) lists = lists_->lists(rows);
    const bool analyses = has_task(options_, kAnalysisTask);
    AskedRows asked;
    for (size_t r = 0; r < rows.size(); ++r) {
      if ((analyses && !rows_.can_analyse(rows[r])) || (lists_ && lists[r].empty())) continue;
      asked.rows.push_back(among[r]);
      asked.lists.push_back(std::move(lists[r]));
    }
    return asked;
  }

  std::vector<SoftPromptSetup::TaskRowSet> ask(const CandidateSet& set,
                                               const AskedRows& asked) const {
    std::vector<SoftPromptSetup::TaskRowSet> made;
    for (const std::string& task : options_.tasks) {
      SoftPromptSetup::TaskRowSet& of_task = made.emplace_back();
      of_task.task = task;
      for (size_t i = 0; i < asked.rows.size(); ++i) {
        const Row& row = set.rows[static_cast<size_t>(asked.rows[i])];
        of_task.rows.push_back(task == kAnalysisTask ? analysis(row)
                                                     : simulating(row, asked.lists[i]));
      }
    }
    return made;
  }

  // The real next items of the rows.
  std::vector<CandidateRow> next_items(const CandidateSet& set, const AskedRows& asked) const {
    std::vector<CandidateRow> made;
    for (const int64_t row : asked.rows) {
      const Request request = make_request(dataset_, set, row, prompts_.prompt().max_history);
      made.push_back(
          prompts_.row(request, student_prompt(dataset_.catalogue, request, prompts_.prompt())));
    }
    return made;
  }

 private:
  CandidateRow analysis(const Row& row) const {
    const Request request = rows_.analysis(row);
    return prompts_.row(
        request, temporal_analysis_prompt(dataset_.catalogue, request, options_.example_items,
                                          prompts_.prompt()));
  }
  CandidateRow simulating(const Row& row, std::span<const int32_t> list) const {
    const Request request = rows_.simulating(row, list);
    return prompts_.row(
        request, pattern_simulating_prompt(dataset_.catalogue, request, lists_->recommender(),
                                           prompts_.prompt()));
  }

  const SoftPromptOptions& options_;
  const Dataset& dataset_;
  PromptRows prompts_;
  Split split_;
  TaskRows rows_;
  std::optional<CrossFittedLists> lists_;  // of rps
};

// Rows that the model has not read, at most `limit` of those that can be asked about.
AskedRows training_rows(const SoftPromptSetup& setup, const TaskMaker& maker,
                        const CandidateSet& set) {
  const SoftPromptOptions& options = setup.options;
  const auto& times = setup.study->dataset.times;
  std::vector<int64_t> unread;
  for (size_t r = 0; r < set.rows.size(); ++r) {
    const int64_t time = times[static_cast<size_t>(set.rows[r].position)];
    if (!setup.card.read_until || time > *setup.card.read_until)
      unread.push_back(static_cast<int64_t>(r));
  }
  const AskedRows all = maker.askable(set, unread);
  CHECK(!all.rows.empty(), kInput,
        "soft-prompt: no row of {} that {} can ask about\nhint: rows need two earlier events, and "
        "for rps a recommender that was fitted without the user (fit --folds) or on earlier "
        "events, with --list-items items that the user has not seen",
        set.rows.size(), options.tasks.size() == 1 ? options.tasks.front() : "both tasks");
  std::vector<int64_t> drawn =
      draw_limited(std::ssize(all.rows), options.limit, options.trainer.seed);
  std::sort(drawn.begin(), drawn.end());
  AskedRows chosen;
  for (const int64_t index : drawn) {
    chosen.rows.push_back(all.rows[static_cast<size_t>(index)]);
    chosen.lists.push_back(all.lists[static_cast<size_t>(index)]);
  }
  return chosen;
}

void make_task_rows(SoftPromptSetup& setup) {
  const SoftPromptOptions& options = setup.options;
  if (options.tasks.empty()) return;
  const TaskMaker maker(setup);
  const CandidateSet set = setup.study->candidates("train");
  const AskedRows asked = training_rows(setup, maker, set);
  setup.tasks = maker.ask(set, asked);
  setup.recommenders = maker.recommenders();
  if (options.mix.weighting == TaskWeighting::kGain && options.tasks.size() > 1)
    setup.main_rows = maker.next_items(set, asked);
  log_info("soft-prompt: {} of {} rows, {} virtual tokens", asked.rows.size(), set.rows.size(),
           setup.prompt.num_trained_tokens);
  if (options.eval_rows == 0) return;
  const CandidateSet valid = setup.study->candidates("valid");
  const auto spread = spread_rows(std::ssize(valid.rows), options.eval_rows);
  setup.valid_tasks = maker.ask(valid, maker.askable(valid, spread));
  CHECK(!setup.valid_tasks.front().rows.empty(), kInput,
        "soft-prompt: no validation row of {} that the tasks can ask about\nhint: --eval-rows 0",
        spread.size());
}

OrderedJson to_json(const SoftPromptSetup& setup) {
  const SoftPromptOptions& options = setup.options;
  const auto rows = setup.tasks.empty() ? 0 : std::ssize(setup.tasks.front().rows);
  OrderedJson json{{"schema_version", 1},
                   {"num_virtual_tokens", setup.prompt.num_trained_tokens},
                   {"prompt_name", setup.prompt.name},
                   {"tasks", options.tasks},
                   {"rows", rows},
                   {"limit", options.limit},
                   {"seed", options.trainer.seed},
                   {"max_history", setup.card.prompt.max_history},
                   {"style", setup.card.prompt.style},
                   {"list_candidates", setup.card.prompt.list_candidates}};
  if (options.tasks.size() > 1) {
    json["task_weights"] = task_weighting_names()[static_cast<size_t>(options.mix.weighting)];
    if (options.mix.weighting == TaskWeighting::kGain) json["gain_step"] = options.mix.gain_step;
  }
  if (!options.tasks.empty()) json["num_candidates"] = options.num_candidates;
  if (has_task(options, kAnalysisTask)) json["example_items"] = options.example_items;
  if (has_task(options, kSimulatingTask)) json["list_items"] = options.list_items;
  for (const auto& [pattern, left_out] : setup.recommenders) {
    OrderedJson record{{"recommender", pattern.recommender}, {"fit_hash", pattern.fit_hash}};
    write_user_fold(left_out, record);
    json["recommenders"].push_back(std::move(record));
  }
  return json;
}

// The folder of the result gets the run's record before anything else, so that no other run goes on
// in it.
void claim_for_run(const SoftPromptSetup& setup) {
  const fs::path out = setup.options.out;
  const OrderedJson record = to_json(setup);
  if (fs::exists(out / kRecordFile)) {
    CHECK(read_json(out / kRecordFile) == Json::parse(record.dump()), kUsage,
          "{}: its {} tells of another run, which cannot be continued with other options\n"
          "hint: the same options, or a new folder for --out",
          out.string(), kRecordFile);
    return;
  }
  CHECK(!setup.options.tasks.empty() || !fs::exists(out) || fs::is_empty(out), kUsage,
        "{}: expected a new folder, found files of something else", out.string());
  fs::create_directories(out);
  write_json_atomic(out / kRecordFile, record);
}

// The prompt as it starts. What the card says of the model's answers was measured without it.
TrainingResult write_untrained(const SoftPromptSetup& setup) {
  ModelCard card = setup.card;
  card.temperature = 1;
  card.trend.reset();
  finish_model_folder(*setup.model.model, setup.model.folder, card, setup.options.out);
  return {};
}

std::unique_ptr<Objective> make_task_mix(SoftPromptSetup& setup) {
  LanguageModel& model = *setup.model.model;
  const CandidateLossOptions loss{.tokens_per_pass = setup.options.tokens_per_pass};
  std::vector<MixedTask> tasks;
  for (SoftPromptSetup::TaskRowSet& task : setup.tasks)
    tasks.push_back(
        {task.task, std::make_unique<CandidateObjective>(model, std::move(task.rows), loss)});
  std::unique_ptr<Objective> main;
  if (!setup.main_rows.empty())
    main = std::make_unique<CandidateObjective>(model, std::move(setup.main_rows), loss);
  TaskMixOptions mix = setup.options.mix;
  if (tasks.size() == 1) mix.weighting = TaskWeighting::kEqual;
  return std::make_unique<TaskMixObjective>(std::move(tasks), std::move(main), mix);
}

// How well validation rows of the tasks are answered: "accuracy/TASK", and over all tasks
// kTaskMetric, the geometric mean of the hidden titles' probabilities.
constexpr const char* kTaskMetric = "likelihood/tasks";
constexpr int64_t kValidatedTogether = 64;

class TaskValidation {
 public:
  TaskValidation(LanguageModel& model, std::vector<SoftPromptSetup::TaskRowSet> tasks,
                 const CandidateLossOptions& loss) {
    for (auto& [task, rows] : tasks)
      objectives_.push_back(
          {task, std::make_unique<CandidateObjective>(model, std::move(rows), loss)});
  }

  std::map<std::string, double> operator()(int64_t step) const {
    std::map<std::string, double> values;
    double nll = 0;
    for (const MixedTask& task : objectives_) {
      const auto [of_task, accuracy] = ask(*task.objective);
      values["accuracy/" + task.name] = accuracy;
      nll += of_task / static_cast<double>(objectives_.size());
      log_info("{} at step {}: accuracy {:.3f}, -log p {:.4f}", task.name, step, accuracy, of_task);
    }
    values[kTaskMetric] = std::exp(-nll);
    return values;
  }

 private:
  // Means of -log p of the hidden title and of how often it leads.
  static std::pair<double, double> ask(Objective& task) {
    double nll = 0, hits = 0;
    const int64_t count = task.num_rows();
    for (int64_t begin = 0; begin < count; begin += kValidatedTogether) {
      std::vector<int64_t> rows(static_cast<size_t>(std::min(kValidatedTogether, count - begin)));
      std::iota(rows.begin(), rows.end(), begin);
      Rng unused(0, "task validation");
      const LossOutput output = task.loss_in_parts(rows, 0, unused, [](const at::Tensor&) {});
      const double share = static_cast<double>(rows.size()) / static_cast<double>(count);
      nll += share * output.metrics.at("nll");
      hits += share * output.metrics.at("accuracy/answer");
    }
    return {nll, hits};
  }

  std::vector<MixedTask> objectives_;
};

}  // namespace

SoftPromptSetup setup(const SoftPromptOptions& options) {
  check_tasks(options);
  SoftPromptSetup setup;
  setup.options = options;
  setup.study = std::make_unique<const Study>(open_study(options.data));
  setup.model = open_model_folder(options.model, setup.study->catalogue_hash, options.dtype,
                                  options.numerics);
  setup.prompt = plan_prompt(options.model, prompt_options(options, setup.model.card), setup.model);
  setup.card = card_of_prompt(options, *setup.study, setup.model);
  make_task_rows(setup);
  if (!setup.valid_tasks.empty()) setup.options.trainer.metric_for_best_model = kTaskMetric;
  return setup;
}

MemoryEstimate plan(const SoftPromptSetup& setup) {
  if (setup.tasks.empty()) {
    MemoryEstimate estimate;
    add_weights(*setup.model.model, estimate);
    return estimate;
  }
  std::vector<RowTokens> tokens;
  for (const SoftPromptSetup::TaskRowSet& task : setup.tasks) {
    for (const CandidateRow& row : task.rows) {
      int64_t answers = 0;
      for (const auto& answer : row.answers) answers += std::ssize(answer);
      tokens.push_back({std::ssize(row.prompt), answers});
    }
  }
  return estimate_training(*setup.model.model, {{}, setup.prompt.num_trained_tokens},
                           setup.options.trainer, std::move(tokens), setup.options.tokens_per_pass);
}

TrainingResult run(SoftPromptSetup setup) {
  check_memory(plan(setup), available_memory(), "soft-prompt", kTrainingMemoryHint);
  const SoftPromptOptions& options = setup.options;
  LoadedModel& model = setup.model;
  claim_for_run(setup);
  load_weights_of(model);
  attach_planned_prompt(*model.model, setup.prompt, options.trainer.seed);
  const std::optional<TrainedTensors> trained = trained_tensors(*model.model, setup.prompt);
  if (options.tasks.empty()) return write_untrained(setup);
  const std::unique_ptr<Objective> objective = make_task_mix(setup);
  const TaskValidation validation(*model.model, std::move(setup.valid_tasks),
                                  {.tokens_per_pass = options.tokens_per_pass});
  return train_model(*objective, *setup.study, model, setup.card, options.trainer,
                     options.eval_rows, options.model, options.out, nullptr, std::cref(validation),
                     &*trained);
}

TrainingResult soft_prompt(const SoftPromptOptions& options) { return run(setup(options)); }

}  // namespace etrlrec
