// Evaluations against the whole catalogue: which rows they are about, and how each kind of model
// ranks all items (eval/full_ranking.h, eval/title_beam.h, eval/reranking.h).
#pragma once

#include <cstdint>
#include <vector>

#include "method/evaluation.h"

namespace etrlrec {

// The test rows of the split, known by everything that says what they and their candidates are.
void set_up_catalogue(EvaluateSetup& setup);
// What a language model is asked about the rows, without candidates; `knowledge` may be null.
std::vector<Request> requests_of(const FullRows& rows, int32_t max_history,
                                 const KnowledgeSource* knowledge);
Predictions rank_everything(const EvaluateSetup& setup, Evaluation& evaluation);

}  // namespace etrlrec
