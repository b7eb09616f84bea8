// From predictions and run folders to the report: tables, curves, worked examples.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "eval/predictions.h"
#include "eval/report.h"
#include "method/study.h"
#include "temporal/claim_weights.h"
#include "temporal/row_view.h"

namespace etrlrec {

// One worked example: history on a time line, candidates with probabilities, the reasoning with
// claims judged by the facts of `view`, which shows what the model saw. `reference`: the exact
// rule's prediction of the same row, or null.
ReportExample make_example(const Study& study, const RowView& view, const Prediction& prediction,
                           const Prediction* reference, const ClaimWeights& weights);
// `count` rows worth reading: hits and misses in turn, spread over the rows, with a closed
// reasoning.
std::vector<int64_t> example_rows(const Predictions& predictions, int64_t count);
// Curves of a training folder: loss or reward, validation metric, and the reward parts.
void add_curves(const std::filesystem::path& folder, const std::string& label, ReportData& report);

}  // namespace etrlrec
