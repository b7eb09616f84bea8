// Stage 1 of DELRec (arXiv 2406.11156; method.md B.4): soft prompt tokens in front of a frozen
// language model learn what order and a conventional recommender tell, by two tasks whose answers
// are titles. Stage 2 is distill on the result's folder with an adapter.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "method/cross_fitted_lists.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "method/prompt_adapter.h"
#include "method/study.h"
#include "train/candidate_objective.h"
#include "train/task_mix_objective.h"
#include "train/trainer.h"

namespace etrlrec {

// Temporal Analysis and Recommendation Pattern Simulating.
inline constexpr const char *kAnalysisTask = "ta", *kSimulatingTask = "rps";

struct SoftPromptOptions {
  std::string data, model, out, dtype = "float32";
  Numerics numerics;
  // Empty: nothing is trained and the prompt stays as it starts, the control of what tasks teach.
  std::vector<std::string> tasks = {kAnalysisTask, kSimulatingTask};
  std::vector<std::string> recommenders;  // of rps: folders for CrossFittedLists
  TaskMixOptions mix;
  int32_t list_items = 10;      // of a recommender's list, the hidden one included
  int32_t num_candidates = 15;  // of a row, those of the list included
  int32_t example_items = 4;    // of ta's example, 0: none
  // How a row is shown; nothing means as the model's folder says.
  std::optional<int32_t> max_history;
  std::string style;  // empty: nothing
  bool list_candidates = false;
  int64_t limit = 0;  // rows, drawn by the seed; 0: all
  // Of the validation rows: how their hidden titles are found chooses the step, next items are
  // measured beside it. 0: no validation, the last step counts.
  int64_t eval_rows = 500;
  int64_t tokens_per_pass = 8192;  // CandidateLossOptions
  // What is left unsaid is for a new prompt 100 tokens and sample_vocab, else as the prompt is.
  PromptTuningOptions prompt{.num_virtual_tokens = 0, .prompt_tuning_init = ""};
  TrainerOptions trainer{.learning_rate = 5e-3,
                         .lr_scheduler_type = "linear",
                         .warmup_ratio = 0.5,
                         .optim = "lion",
                         .weight_decay = 1e-5,
                         .max_grad_norm = 2,
                         .train_batch_size = 20};
};

// Everything that soft-prompt reads, except the weights of the model. The rows of all tasks are
// about the same rows of the training part, in the same order.
struct SoftPromptSetup {
  SoftPromptOptions options;
  std::unique_ptr<const Study> study;
  LoadedModel model;
  PromptPlan prompt;  // attached once the weights are loaded
  ModelCard card;     // of the result
  struct TaskRowSet {
    std::string task;
    std::vector<CandidateRow> rows;
  };
  std::vector<TaskRowSet> tasks;
  std::vector<TaskRowSet> valid_tasks;  // of validation rows; they choose the step
  std::vector<CandidateRow> main_rows;  // real next items, for weights by gain only
  std::vector<CrossFittedLists::Record> recommenders;
};

// Errors: kUsage for options that contradict each other, a model that answers by number or whose
// prompts show knowledge; kModel for a model or recommender of another data set; kInput where no
// row is left.
SoftPromptSetup setup(const SoftPromptOptions& options);
// Memory and work of run().
MemoryEstimate plan(const SoftPromptSetup& setup);
// `out` becomes a complete model folder with the prompt in adapter/, one of another name in
// adapter/NAME/ (PEFT), and soft_prompt.json, which says what it was trained on and is there first.
// An interrupted run continues. Errors: kUsage where soft_prompt.json tells of other options;
// kMemory where the plan does not fit, kFailure where anything else than the prompt would move.
TrainingResult run(SoftPromptSetup setup);
TrainingResult soft_prompt(const SoftPromptOptions& options);  // run(setup(options))

}  // namespace etrlrec
