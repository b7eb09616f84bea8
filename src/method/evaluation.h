// What an evaluation is asked, what it reads and what comes out of it; method/evaluate carries it
// out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/candidates.h"
#include "data/dataset.h"
#include "eval/full_ranking.h"
#include "eval/predictions.h"
#include "eval/protocol.h"
#include "eval/reasoning_change.h"
#include "eval/trend.h"
#include "eval/verbalizer.h"
#include "method/model_folder.h"
#include "temporal/reasoning_quality.h"

namespace etrlrec {

struct EvaluateOptions {
  std::string data;
  std::string model;  // a folder, or: random, teacher, bayes
  // A candidate file; empty: DATA/candidates-test.jsonl; "all": every test row of the split against
  // the whole catalogue (eval/full_ranking.h).
  std::string candidates;
  std::string name;             // of the row in tables; empty: the folder's name
  std::string ablate = "none";  // what is taken from a language model's input (eval/ablation.h)
  std::string dtype = "float32";
  Numerics numerics;
  std::vector<std::string> adapters;  // PEFT folders on top of a language model
  // Recommender folders whose scores are mixed with a language model's answer probabilities
  // (eval/mix.h), one after the other; the weight of what is there already is chosen on validation
  // rows each time. Empty: none.
  std::vector<std::string> mix;
  // The recommender of the patterns that a language model's prompts show. Empty: they show none.
  std::string recommender;
  // Of a recommender: items without a training event get their share of the choices, measured on
  // validation rows (method/unread_items.h). A language model's card says what it does.
  bool new_items = false;
  // What is chosen at the time of the request corrects every probability (eval/trend.h), with
  // options chosen on validation rows.
  bool trend = false;
  bool mask_seen = false;  // of the whole catalogue: leave the items of the history out
  // Of the whole catalogue: a recommender folder whose top_n first items a language model ranks
  // (eval/reranking.h). Empty: it ranks all.
  std::string retrieve;
  int64_t top_n = 20;
  int64_t beam = 0;          // of the whole catalogue: beams (eval/title_beam.h), 0: exact scores
  ProtocolOptions protocol;  // its seed is the seed of everything that is drawn
  int64_t limit = 0;         // rows, 0: all
};

// Everything that an evaluation reads, except the weights of a language model.
struct EvaluateSetup {
  EvaluateOptions options;
  Dataset dataset;
  std::filesystem::path candidates;  // the file that says what the rows are
  CandidateSet set;
  std::vector<int64_t> rows;         // of the set, that are asked about
  std::optional<FullRows> full;      // or rows of the split against the whole catalogue
  std::vector<Request> requests;     // of these rows; no candidates where that is all items
  std::optional<LoadedModel> model;  // a language model
  std::unique_ptr<const KnowledgeSource> knowledge;  // null: its prompts show none
  ProtocolOptions protocol;                          // with the prompt and the budget of that model
};

// What --retrieve found.
struct Retrieval {
  std::string recommender;
  int64_t top_n = 0;
  double recall = 0;  // share of the rows whose target was among the items
};

// Predictions with their names filled in, and the metrics of one model.
struct Evaluation {
  Predictions predictions;
  MetricRow row;
  int32_t num_candidates = 0;
  std::vector<double> mix_weights;    // of what each recommender was mixed with, in their order
  std::optional<TrendOptions> trend;  // where there is one that helps
  std::vector<std::optional<TrendOptions>> recommender_trends;  // of what is mixed in, the same
  std::optional<Retrieval> first_stage;
  std::optional<double> beam_recall;          // of the ten best exact items, on the first rows
  int64_t recall_rows = 0;                    // those rows
  std::optional<ReasoningQuality> reasoning;  // of a model that reasons, about listed candidates
  std::optional<ReasoningChanges> changes;    // of a protocol that changes the reasoning
  std::optional<VerbalizerCollisions> collisions;  // of --protocol verbalizer
};

}  // namespace etrlrec
