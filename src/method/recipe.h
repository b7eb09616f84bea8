// The whole method as one run: the stages one after another, each with the options a recipe gives
// it, every model judged on the same rows as soon as it is there, and a report. `demo` and
// `movielens` are two recipes. A recipe calls what the commands call, with folders between the
// calls; a stage whose folder is complete is skipped, so an interrupted run goes on where it
// stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "method/construct.h"
#include "method/distill.h"
#include "method/fit.h"
#include "method/new_lm.h"
#include "method/prepare.h"
#include "method/pretrain.h"
#include "method/reinforce.h"

namespace etrlrec {

// Options of the stages. Folders below `out` and seeds are filled in by run_recipe.
struct Recipe {
  std::string title;           // of the report
  std::string out;             // gets one folder for each stage
  uint64_t seed = 42;          // of every stage
  Numerics numerics;           // of every model
  PrepareOptions prepare;      // data/
  FitOptions fit;              // recommenders/
  double reward_share = 0.5;   // reward/: SASRec of the earliest share of the training
                               // interactions; it rewards on the later rows
  ConstructOptions construct;  // reasoning/
  NewLmOptions new_lm;         // base/
  // timeline/: the model of base/ reads the log, and the later stages start from it and answer by
  // title. Nothing: they start from base/ and answer by number.
  std::optional<PretrainOptions> pretrain;
  DistillOptions distill;             // student/, and label-only/ on the answers alone
  double label_only_steps = 1;        // steps of label-only/ over those of student/
  ReinforceOptions reinforce;         // policy/
  int64_t other_protocol_rows = 500;  // on which the policy is asked in other ways, too
  // What decides the result, by option; kept in `out` with the arithmetic, and a run of others may
  // not continue there.
  std::map<std::string, std::string> options;
  std::string next_command;  // what the last line recommends
};

// Runs the recipe, prints the table and returns the path of the report. Errors: kUsage when `out`
// holds a run of other options, kInput when the data set leaves no rows with candidates.
std::filesystem::path run_recipe(Recipe recipe);

}  // namespace etrlrec
