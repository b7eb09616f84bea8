// The whole method as one run: data -> recommenders -> reasoning -> base model -> label-only arm,
// distillation, reinforcement
// -> judging on the same rows -> report. `demo` and `movielens` are two sets of these options.
// Every stage fills one folder of `out`; a stage whose folder is complete is skipped, so an
// interrupted run goes on where it stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "method/construct.h"
#include "method/distill.h"
#include "method/new_lm.h"
#include "method/prepare.h"
#include "method/reinforce.h"
#include "models/sasrec.h"

namespace etrlrec {

struct PipelineOptions {
  std::string name = "demo", out = "runs/demo";
  PrepareOptions prepare;
  SasrecConfig sasrec;
  TrainerOptions sasrec_trainer;
  double reward_share = 0.5;  // of the training interactions, earliest first, for the recommender
                              // that rewards; reinforcement uses the later rows
  ConstructOptions construct;
  NewLmOptions new_lm;
  DistillOptions distill;
  double label_only_factor =
      1;  // training tokens of the label-only arm over those of the reasoning arm
  ReinforceOptions reinforce;
  bool other_protocols = true;  // first-answer and elimination for the final model
  int64_t other_protocol_rows = 500;
  uint64_t seed = 42;
  // What decides the result, by option; kept in `out`, which a run of other options may not go on.
  std::map<std::string, std::string> recipe;
  std::string next_command;  // what the last line recommends
};

// Prints the table's rows as they become known and returns the path of the report. Error (kUsage)
// when `out` holds a run of another recipe.
std::filesystem::path run_pipeline(PipelineOptions options);

}  // namespace etrlrec
