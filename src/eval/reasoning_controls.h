// Controls of what a reasoning decides (method.md G.9.5): the candidates' probabilities below a
// reasoning that is not the model's own, or is but changed. Rows of protocol.h's table.
#pragma once

#include <cstdint>
#include <span>

#include "eval/asking.h"

namespace etrlrec {

// All of them append one prediction for each request to `out`; rows count from first_row. Errors
// (kUsage): a model that answers at once; an encoder-decoder, whose prompt is read by another part
// than its reasoning, unless the reasoning is left out.

// "swapped-reasoning": what the model wrote about the next row of another user. "no-reasoning":
// none.
void foreign_reasoning(const Asked& asked, std::span<const Request> requests,
                       const ProtocolOptions& options, int64_t first_row, Predictions& out);

// The first floor(reasoning_share * n) of the n tokens that the model wrote (greedy), which may end
// in the middle of a claim, then the close: 0 is "no-reasoning", 1 is "likelihood".
// Prediction::change is measured against the whole reasoning.
void truncated_reasoning(const Asked& asked, std::span<const Request> requests,
                         const ProtocolOptions& options, int64_t first_row, Predictions& out);

// The model's own reasoning after flip_claims (temporal/claim_flip.h), drawn from the row's stream.
// Prediction::change is measured against the same reasoning as it was; both texts are encoded anew,
// so that nothing but the flipped claims tells them apart. Without `statistics`: kUsage.
void flipped_claims(const Asked& asked, std::span<const Request> requests,
                    const ProtocolOptions& options, int64_t first_row, Predictions& out);

// The model writes on (greedy, as many tokens as a whole reasoning may have) from what it wrote in
// front of its first decision (before_decision) after flip_claims, drawn from the row's stream, and
// answers below that. Prediction::change is measured against the same model that writes on from the
// same text unflipped, both encoded anew, so that nothing but the facts tells them apart; it says
// what became of the decision (decisions_in). Rows without a decision or without a flipped fact
// keep the model's own reasoning and answer. Without `statistics`: kUsage.
void flipped_facts(const Asked& asked, std::span<const Request> requests,
                   const ProtocolOptions& options, int64_t first_row, Predictions& out);

// 1/2 sum |p - q| of two distributions over the same candidates.
double total_variation(std::span<const double> p, std::span<const double> q);

}  // namespace etrlrec
