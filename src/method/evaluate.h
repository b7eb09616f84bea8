// Judging (method.md G.7): any model on the rows of one candidate file under a named protocol. The
// model is a language model, a recommender, the program that teaches, the exact rule of a synthetic
// world or chance.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/candidates.h"
#include "data/dataset.h"
#include "eval/predictions.h"
#include "eval/protocol.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"

namespace etrlrec {

struct EvaluateOptions {
  std::string data;
  std::string model;            // a folder, or: random, teacher, bayes
  std::string candidates;       // a candidate file; empty: DATA/candidates-test.jsonl
  std::string name;             // of the row in tables; empty: the folder's name
  std::string ablate = "none";  // what is taken from a language model's input (eval/ablation.h)
  std::string dtype = "float32";
  Numerics numerics;
  std::vector<std::string> adapters;  // PEFT folders on top of a language model
  // A recommender folder whose scores are mixed with a language model's answer probabilities
  // (eval/mix.h); the weight is chosen on validation rows. Empty: none.
  std::string mix;
  ProtocolOptions protocol;  // its seed is the seed of everything that is drawn
  int64_t limit = 0;         // rows, 0: all
};

// Everything that an evaluation reads, except the weights of a language model.
struct EvaluateSetup {
  EvaluateOptions options;
  Dataset dataset;
  std::filesystem::path candidates;
  CandidateSet set;
  std::vector<int64_t> rows;         // of the set, that are asked about
  std::vector<Request> requests;     // of these rows
  std::optional<LoadedModel> model;  // a language model
  ProtocolOptions protocol;          // with the prompt and the budget of that model
};

// Predictions with their names filled in, and the metrics of one model.
struct Evaluation {
  Predictions predictions;
  MetricRow row;
  int32_t num_candidates = 0;
  std::optional<double> mix_weight;  // of the language model
};

EvaluateSetup setup(const EvaluateOptions& options);
// Memory and work of a language model. Error (kUsage) for every other model, which needs next to
// nothing.
MemoryEstimate plan(const EvaluateSetup& setup);
// Errors: kMemory where the plan does not fit, kModel for a model of another data set.
Evaluation run(EvaluateSetup setup);

// summary.json: the metrics with their intervals, and those of chance.
nlohmann::ordered_json summary_of(const Evaluation& evaluation);

}  // namespace etrlrec
