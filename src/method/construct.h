// Stage 1 of the method (method.md G.2): facts and teacher reasoning for the training rows of a
// data set, filtered by the verifier. Rows of the program have random streams of their own and are
// written to a part file as soon as their batch is done, so a stopped run continues to the same
// result. Language models are asked by calls whose answers are kept in calls.jsonl; everything else
// follows from that file and is made again in each run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "method/construct_filters.h"
#include "method/construct_options.h"
#include "method/knowledge.h"
#include "method/row.h"
#include "method/study.h"
#include "temporal/prompts.h"

namespace etrlrec {

// What the later stages must repeat of a construct folder (construct.json).
struct ReasoningRecord {
  std::string candidates;      // hash of the candidate file it was written for
  std::string catalogue_hash;  // of the data set's items
  PromptOptions prompt;        // that the reasoning answers to
  std::optional<PatternRecord> pattern;
};
// Error (kInput) where construct.json is missing or incomplete, or names an unknown style. Older
// ones without a style mean the default.
ReasoningRecord read_reasoning_record(const std::filesystem::path& folder);

// Everything that construct reads. Nothing is written before run().
struct ConstructSetup {
  ConstructOptions options;
  std::unique_ptr<const Study> study;
  RowSource source;
  std::vector<int64_t> rows;    // to be written, ascending
  std::vector<int64_t> usable;  // that may be written: all, or those after a recommender's training
  bool knowledge = false;       // whether the rows show any
  std::optional<PatternRecord> pattern;
};
// What run() still has to do.
struct ConstructPlan {
  int64_t rows = 0;        // of the result
  int64_t rows_done = 0;   // by an earlier run in the same folder
  int64_t most_draws = 0;  // of the teacher, for the rows that are left
};
nlohmann::ordered_json to_json(const ConstructPlan& plan);
std::string format_plan(const ConstructPlan& plan);  // one line, without its end

// Errors: kUsage for an unknown teacher, hint policy or domain, numbers of draws that make no
// sense, list_candidates of answers by number, and knowledge of a pattern without a recommender or
// the reverse; kInput for an unknown style and where a recommender has learned from all rows.
ConstructSetup setup(const ConstructOptions& asked);
ConstructPlan plan(const ConstructSetup& setup);
// Writes reasoning.jsonl, claim_weights.json and, last, construct.json; of teachers that write free
// text also quarantine.jsonl, what was refused and why. An interrupted run continues; error
// (kUsage) where it was begun with other options. Where an endpoint gives up or the budget is
// spent, the files hold what is there, construct.json says "complete": false, and the error
// (kTeacher, kResumable) follows.
ConstructSummary run(const ConstructSetup& setup);
ConstructSummary construct(const ConstructOptions& options);  // run(setup(options))
// The lines that another program may answer (construct --write-requests): messages and meta of the
// first draw of each row, and of the first hinted one where the policy has any.
int64_t write_requests(const ConstructSetup& setup, const std::filesystem::path& path);

}  // namespace etrlrec
