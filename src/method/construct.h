// Stage 1 of the method (method.md G.2): facts and teacher reasoning for the training rows of a
// data set, filtered by the verifier. Every row has a random stream of its own and is written to a
// part file as soon as its batch is done, so a stopped run continues to the same result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "method/knowledge.h"
#include "method/row.h"
#include "method/study.h"
#include "temporal/prompts.h"

namespace etrlrec {

struct ConstructOptions {
  std::string data, out;
  std::string teacher = "program";
  int32_t draws = 4, hinted_draws = 2;
  std::string hint_policy =
      "fallback";  // fallback: hinted draws only where all others were rejected | never | always
  double temperature = 1.0;
  bool filter_answer = true;    // only draws that answer with the target are kept
  double min_precision = 0.9;   // of the claims
  int32_t max_per_row = 1;      // kept draws of one row, all different
  int32_t max_history = 0;      // entries of a prompt, 0: usual_history(answer)
  bool with_times = true;       // false: no claim about gaps or the season
  bool with_attributes = true;  // false: prompts show titles alone; claims speak of attributes
  std::string style = PromptOptions{}.style;
  AnswerKind answer = AnswerKind::kTitle;  // kNumber: the contract of ETRLRec
  Knowledge knowledge = Knowledge::kNone;  // besides history and candidates
  std::string recommender;  // folder of fit --train-share, where the knowledge has a pattern
  int32_t knowledge_items = PromptOptions{}.knowledge_items;
  bool list_candidates = false;  // of answers by title: the prompt names them
  Numerics numerics;             // of the recommender
  int64_t limit = 0;             // rows, drawn by the seed; 0: all
  uint64_t seed = 42;
};
struct ConstructSummary {
  int64_t rows = 0, rows_kept = 0, draws = 0, kept = 0, hinted = 0;
  std::map<std::string, int64_t> rejected;  // by the first filter that refused
};
nlohmann::ordered_json to_json(const ConstructSummary& summary);
// Rows, draws, and what passed each filter of those that the filters before let through.
std::string format_summary(const ConstructSummary& summary);

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

// Errors: kUsage for an unknown teacher or hint policy, numbers of draws that make no sense,
// list_candidates of answers by number, and knowledge of a pattern without a recommender or the
// reverse; kInput for an unknown style and where a
// recommender has learned from all rows.
ConstructSetup setup(const ConstructOptions& asked);
ConstructPlan plan(const ConstructSetup& setup);
// Writes reasoning.jsonl, claim_weights.json and, last, construct.json. An interrupted run
// continues; error (kUsage) where it was begun with other options.
ConstructSummary run(const ConstructSetup& setup);
ConstructSummary construct(const ConstructOptions& options);  // run(setup(options))

}  // namespace etrlrec
