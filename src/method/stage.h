// What both training stages share: validation by the headline protocol, the adapter that is
// trained, the one loop, and how a training folder becomes a model folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "method/model_folder.h"
#include "method/row.h"
#include "method/study.h"
#include "train/trainer.h"
#include "tuning/adapters.h"
#include "tuning/trained_tensors.h"

namespace etrlrec {

// Spread validation rows with the entries and the knowledge that the prompts of `card` show.
std::vector<Request> validation_requests(const Study& study, const ModelCard& card,
                                         int64_t num_rows,
                                         const KnowledgeSource* knowledge = nullptr);
// These rows and a function that asks the model, as it is then, about them by the headline
// protocol.
struct ValidationQuestions {
  std::vector<Request> requests;
  std::function<Predictions()> ask;
};
// `study` and `model` must outlive the questions, and these what they are copied to.
ValidationQuestions validation_questions(const Study& study, const LoadedModel& model,
                                         const ModelCard& card, int64_t num_rows, uint64_t seed,
                                         const KnowledgeSource* knowledge = nullptr);
// Of the answers: ndcg@10, hit@1, hit@10, mrr, valid_ratio. Empty function without questions.
EvaluateFn validation(const ValidationQuestions& questions);

// Attaches the adapter of a training, none with r = 0. AdaLoRA without a total_step gets the
// optimiser steps of this training.
void attach_adapter(LanguageModel& model, LoraConfig config, int64_t num_rows,
                    const TrainerOptions& trainer);
// Merges the adapter, if there is one (kept as PEFT files in out/adapter, or in out/lora beside
// soft prompts), and adds the model's files to the training folder, etrlrec.json last: a folder
// that has it is complete.
void finish_model_folder(LanguageModel& model, const std::filesystem::path& parent,
                         const ModelCard& card, const std::filesystem::path& out);

// The end that both training stages share: the one loop with validation by the headline protocol,
// labelled by the stage unless told otherwise, then the temperature of its answers and the trend
// that helps them, both from the same rows, then the complete model folder at `out`. `parent` is
// the model's own folder. `also`: further values of a validation, e.g. one that chooses the step.
// `trained`: what must have moved, or else no folder is finished (kFailure).
TrainingResult train_model(Objective& objective, const Study& study, const LoadedModel& model,
                           ModelCard card, TrainerOptions trainer, int64_t eval_rows,
                           const std::filesystem::path& parent, const std::filesystem::path& out,
                           const KnowledgeSource* knowledge = nullptr, const EvaluateFn& also = {},
                           const TrainedTensors* trained = nullptr);

// How a training went: a document with the folder that it filled, or a line.
nlohmann::ordered_json to_json(const TrainingResult& result, const TrainerOptions& trainer,
                               const std::filesystem::path& out);
std::string format_training(const TrainingResult& result, const TrainerOptions& trainer);

}  // namespace etrlrec
