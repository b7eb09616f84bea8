// The recipe for a log nobody has seen before: looks at the data, chooses split, sizes and budgets
// for the time there is, and says why in plain sentences.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "method/recipe_file.h"
#include "method/recipe_plan.h"

namespace etrlrec {

// What decides the plan.
struct LogFacts {
  int64_t users = 0, items = 0, interactions = 0;
  int64_t median_history = 0, longest_history = 0;
  double tie_share = 0;                   // of neighbouring events of one user at one time
  bool whole_days = false;                // no time says more than the day
  bool one_time = false;                  // all events have the same time
  double span_days = 0;                   // from the first event to the last
  int64_t attributes = 0;                 // different values of all attribute fields
  int64_t untitled = 0;                   // items whose title is their id
  int64_t valid_rows = 0, test_rows = 0;  // of a split at quantiles .8 and .9 of the times
  std::string user;                       // one of them
};

// Prepares the log with these options of `prepare` into `folder`, which is removed again.
LogFacts look_at_log(const std::vector<RecipeOption>& options, const ProgramCommands& commands,
                     const std::vector<std::string>& common, const std::filesystem::path& folder);

struct OwnBudget {
  double hours = 1;
  int32_t cores = 2;
  int64_t student_parameters = 0;  // of a given language model; 0: one is made
};

// Sets in `recipe`, which has the stages and judges of movielens-100k, or with a given language
// model those of movielens-student, what fits the log and the budget; what the stage data says
// already stays. Returns the reasons. Times are reckoned from rates that were measured on two cores
// (bench/RESULTS.md), so the same log gets the same plan everywhere with as many cores. Error
// (kInput) for a log with fewer than 8 items or 100 interactions.
std::vector<std::string> plan_for_log(Recipe& recipe, const LogFacts& facts,
                                      const OwnBudget& budget);

struct OwnOptions {
  std::string log;
  std::string out;  // folder of the run; empty: as the recipe says
  std::vector<RecipeOption> prepare;
  std::string student;  // folder of a language model to start from; empty: one is made
  double hours = 1;
  int32_t cores = 0;            // 0: all
  std::vector<uint64_t> seeds;  // empty: as the recipe says
};
struct OwnPlan {
  Recipe recipe;  // "own", with everything that was chosen
  std::vector<std::string> reasons;
};
// Looks at the log, plans and says why in the log of the run. Error (kUsage) where the run folder
// has another recipe than is chosen now, which somebody may have changed by hand.
OwnPlan plan_own(const OwnOptions& options, const ProgramCommands& commands,
                 const std::vector<std::string>& common);

}  // namespace etrlrec
