// What the stages share: a data set with its training statistics, the rows of a candidate file as
// requests, the split of the training rows between distillation and reinforcement, claim weights on
// disk, validation by the headline protocol, and how a training folder becomes a model folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/candidates.h"
#include "data/dataset.h"
#include "method/model_folder.h"
#include "temporal/claims.h"
#include "temporal/facts.h"
#include "train/sft.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct Workspace {
  std::filesystem::path folder;
  Dataset dataset;
  TemporalStatistics statistics;
  std::string hash;  // of the catalogue
};
Workspace open_workspace(const std::filesystem::path& folder);
// `part`: train | valid | test, from FOLDER/candidates-<part>.jsonl.
CandidateSet workspace_candidates(const Workspace& workspace, const std::string& part);
std::vector<Request> make_requests(const Workspace& workspace, const CandidateSet& set,
                                   std::span<const int64_t> rows, int32_t max_history);
// At most `count` of `total` rows, evenly spread (0: all).
std::vector<int64_t> spread_rows(int64_t total, int64_t count);
// A training row belongs to distillation or to reinforcement, never to both.
bool is_distillation_row(uint64_t seed, int64_t row, double share);

void write_claim_weights(const ClaimWeights& weights, const std::filesystem::path& path);
ClaimWeights read_claim_weights(const std::filesystem::path& path);

// One row to be trained on. Fields are the predicates of the reasoning's claims ("gap") and their
// arguments
// ("gap/1"), "text" between them, "format" and "answer"; new names are appended to `field_names`.
// They serve metrics only: where the tokens do not spell the text byte by byte, the whole reasoning
// counts as "text".
SftRow make_sft_row(const Tokenizer& tokenizer, const std::string& prompt,
                    std::string_view reasoning, int32_t answer, int32_t num_candidates,
                    bool with_reasoning, std::vector<std::string>& field_names);

// Likelihood protocol on spread validation rows: ndcg@10, hit@1, mrr, valid_ratio. Empty function
// for 0 rows.
EvaluateFn validation(const Workspace& workspace, const LoadedModel& model, const ModelCard& card,
                      int64_t num_rows, uint64_t seed);

// Attaches the adapter of a training, none with r = 0. AdaLoRA without a total_step gets the
// optimiser steps of this training.
void attach_adapter(Llm& model, LoraConfig config, int64_t num_rows, const TrainerOptions& trainer);
// Merges the adapter, if there is one (kept as PEFT files in out/adapter), and adds the model's
// files to the training folder, etrlrec.json last: a folder that has it is complete.
void finish_model_folder(Llm& model, const std::filesystem::path& parent, const ModelCard& card,
                         const std::filesystem::path& out);

}  // namespace etrlrec
