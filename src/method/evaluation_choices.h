// What an evaluation chooses on validation rows: trends (eval/trend.h) and the weights of mixes
// (eval/mix.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/trend.h"
#include "method/evaluation.h"
#include "models/recommender.h"

namespace etrlrec {

inline constexpr int64_t kValidationRows = 1000;  // that choices are made on, at most

// The answers of the language model under the protocol of the setup.
Predictions ask_about(const EvaluateSetup& setup, std::span<const Request> requests,
                      const std::string& label);
// The recommender of a folder, with the share of new items where the setup has one.
std::unique_ptr<Recommender> load_for(const EvaluateSetup& setup, const std::string& folder);
std::string folder_name(const std::string& folder);

// The validation rows that a mix's weight and a trend are chosen on. Where the rows stand among
// popular candidates, so do they: what tells popular items apart is not what tells any items apart.
struct Validation {
  CandidateSet set;
  std::vector<int64_t> rows;
  std::vector<Request> requests;  // for the model that is evaluated
};

Validation validation_of(const EvaluateSetup& setup);

// What one model says about the rows and about the validation rows.
struct Answered {
  Predictions rows, valid;
};

// The trend of the model that is evaluated; `recommender`: where it is one. None that helps: none.
std::optional<Trend> trend_of(const EvaluateSetup& setup, const Recommender* recommender,
                              Evaluation& evaluation);
// Chooses a trend on the answers to the validation rows and corrects both; `whose`: for the log.
void correct(const EvaluateSetup& setup, const Validation& valid, const std::string& whose,
             std::optional<TrendOptions>& chosen, Answered& answered);
// Notes a weight that was chosen, and says so.
void note_weight(const std::string& recommender, double weight, size_t num_rows,
                 std::vector<double>& weights);
// The answers mixed with the scores of the setup's recommenders, which follow trends of their own.
Predictions mixed(const EvaluateSetup& setup, const Validation& valid, Answered answered,
                  Evaluation& evaluation);

}  // namespace etrlrec
