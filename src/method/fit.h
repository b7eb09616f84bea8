// Conventional recommenders of a data set: training, choice by validation, full-ranking metrics.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/fit_search.h"
#include "method/user_folds.h"
#include "models/ranking.h"
#include "models/recommender.h"
#include "train/next_item_objective.h"
#include "train/trainer.h"

namespace etrlrec {

// The interactions a model may learn from, [user_offsets[u], train_end[u]) of every user; with a
// share below 1 only the earliest ones, up to and including that quantile of their times.
InteractionLog training_log(const Dataset& dataset, const Split& split, double share = 1);
// Those of them up to and including this time.
InteractionLog training_log_until(const Dataset& dataset, const Split& split, int64_t last);
// SHA-256 of what a model has learned from, "training_log" of its inputs.json.
std::string training_log_hash(const InteractionLog& log);

// The latest time a fitted model has learned from; its folder must be one of fit (kModel).
int64_t trained_until(const std::filesystem::path& folder);

// The recommender of a folder of fit; error (kModel) when it was trained on another catalogue, or
// when it knows users and those of the data set are others.
std::unique_ptr<Recommender> load_recommender_of(const std::filesystem::path& folder,
                                                 const Dataset& dataset,
                                                 const Numerics& numerics = {});

// Full-ranking tasks of rows; they point into the data set. Above `limit` rows (0: no limit) every
// k-th row is taken.
std::vector<RankingTask> ranking_tasks(const Dataset& dataset, std::span<const Row> rows,
                                       int64_t limit = 0);

// "hit@1", "hit@5", "hit@10", "ndcg@5", "ndcg@10", "mrr" of ranks; there must be one (kInput).
std::map<std::string, double> ranking_metrics(std::span<const double> ranks);

// Trains an initialised recommender in folder/training (checkpoints, metrics.jsonl, tb/), where it
// continues after an interruption; the model then holds the best weights by NDCG@10 of `valid`.
// Without validation tasks the last epoch counts. eval_steps = 0: once an epoch.
TrainingResult train_recommender(TrainableRecommender& model, const InteractionLog& log,
                                 std::span<const RankingTask> valid, bool mask_seen,
                                 TrainerOptions options, const std::filesystem::path& folder,
                                 const LossOptions& loss = {.name = "ce"});

// Names of the types that are fitted where none is named, in the order of the table: those that
// count, from nothing but a log, and SASRec.
std::vector<std::string> usual_recommenders();

struct FitOptions {
  std::string data, out;
  std::string embeddings{};  // folder of embed, for models that want it
  std::vector<std::string> models = usual_recommenders();
  std::string preset{};      // whose settings were taken (method/fit_presets.h), for the record
  Numerics numerics;         // of models that are trained
  OptionValues recommender;  // options of the models, by key; those left out have their defaults
  LossOptions loss;          // of models that are trained; no name: each its own
  FitSearch search{};        // tries settings of each model, the best by validation is kept
  // Of models that are trained. An empty label: the name of the model.
  TrainerOptions trainer = next_item_trainer_options();
  bool mask_seen = false;         // in validation
  double train_share = 1;         // earliest share of the training interactions
  UserFold left_out{};            // users that are neither learned from nor validated on
  int64_t eval_rows = 5000;       // validation rows used, 0: all
  std::string evaluate = "none";  // test rows: none | full | candidates
  bool replace = false;
};

struct FitSummary {
  std::string model;
  std::filesystem::path folder;
  std::map<std::string, double> metrics;  // "valid/ndcg@10", "test/unseen/hit@10", …
  double seconds = 0;
  std::string setting{};  // what a search chose
  int64_t trials = 0;     // settings that it tried
};
// One folder per model below `out`: config.json, model.safetensors, inputs.json, metrics.json. A
// model that is there with the same inputs is not fitted again, with other inputs it is an error
// (kUsage) unless `replace`. The options of all models are checked (kUsage) before the first.
// A search keeps the setting with the best NDCG@10 of the validation rows (kInput: there are none);
// "search/<trial>" below the model's folder says how each did, search.json all of it. It goes on
// where it was stopped, and from fewer trials to more; test rows are looked at after it.
std::vector<FitSummary> fit(const FitOptions& options);

nlohmann::ordered_json to_json(std::span<const FitSummary> summaries);
// A line for each model and each set of rows that it was judged on.
std::string format_fit(std::span<const FitSummary> summaries);

}  // namespace etrlrec
