// Stage 2 of the method (method.md G.2): a student language model learns the teacher's reasoning
// and answers, or the answers alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "method/prompt_adapter.h"
#include "method/study.h"
#include "train/candidate_objective.h"
#include "train/sft.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct DistillOptions {
  std::string data, reasoning, model, out, dtype = "float32";
  // Whose patterns the prompts show, where they show any: one, or of lists those of several folds
  // of users (method/cross_fitted_lists.h).
  std::vector<std::string> recommenders;
  std::string init_prompt;  // folder of a soft prompt that texts begin with (open_with_prompt)
  Numerics numerics;
  bool label_only = false;
  // What follows a reasoning: the teacher's own answer, or the target. Imitation of a teacher that
  // is often wrong would cost a model that has read the log what it knows.
  std::string answers = "teacher";  // teacher | target
  double direct_share = 0;          // share of the rows that is trained as a direct answer, too
  double sft_share = 0.4;  // of the training rows, by seeded hash; reinforce uses the others
  // How a row is shown. A run with a reasoning folder reads these from that folder and refuses them
  // here; without one (label_only), nothing means as the model's folder says.
  std::optional<int32_t> max_history;
  std::optional<bool> with_times, with_attributes;
  std::string style;  // empty: nothing
  std::optional<Knowledge> knowledge;
  int32_t knowledge_items = PromptOptions{}.knowledge_items;  // of each list, with knowledge
  int64_t max_reasoning_tokens = 160;
  int64_t limit = 0;  // training rows, drawn by the seed; 0: all
  // A row's weight halves with every so many days between its request and the last one that is
  // learned from (method/age_weights.h). 0: all rows weigh alike.
  double half_life_days = 0;
  int64_t eval_rows = 500;  // of the validation rows, 0: no validation
  // What an answer is told apart from: the candidates of the training file, or popular ones that
  // are drawn anew for the same rows (data/candidates.h). For label_only, whose answer is the
  // target: a reasoning speaks of the candidates that it was written for.
  std::string negatives = "file";  // file | popular
  // What is learned of an answer: its tokens as a text, or its share among all candidates.
  std::string answer_loss = "tokens";  // tokens | candidates
  SftOptions sft;
  // r = 0 and no prompt: full fine-tuning. An adapter learns beside a soft prompt that the model
  // has, which stays as it is (DELRec's stage 2).
  LoraConfig lora;
  std::optional<PromptTuningOptions> prompt_tuning;
  TrainerOptions trainer;  // its seed is the seed of the stage
};

// Sets the weight that NAME=WEIGHT gives to a field of the reasoning. Error (kUsage) for any other
// text and for a weight that is not positive.
void add_field_weight(const std::string& text, SftOptions& options);

// Everything that distill reads, except the weights of the model. Rows are ready to be trained on.
struct DistillSetup {
  DistillOptions options;
  std::unique_ptr<const Study> study;
  LoadedModel model;
  std::unique_ptr<const KnowledgeSource> knowledge;  // null: prompts show none
  PromptPlan prompt;                                 // attached once the weights are loaded
  ModelCard card;                                    // of the result
  std::vector<SftRow> rows;
  std::vector<CandidateRow> candidate_rows;  // the same rows, for answer_loss "candidates"
};

// Errors: kUsage for options that contradict each other or the reasoning folder, kModel for a
// reasoning folder or a model of another data set or recommender, kInput where no row is left.
// Where prompts show patterns, only rows after the recommender's training are learned from.
DistillSetup setup(const DistillOptions& options);
// Memory and work of run().
MemoryEstimate plan(const DistillSetup& setup);
// `out` becomes a complete model folder that also holds the checkpoints and metrics of the run. An
// interrupted run continues. Error (kMemory) where the plan does not fit.
TrainingResult run(DistillSetup setup);
TrainingResult distill(const DistillOptions& options);  // run(setup(options))

}  // namespace etrlrec
