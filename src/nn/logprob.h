// Fused, chunked log-probabilities of a linear head: never holds [N, V], forward or backward. fp32
// always.
#pragma once

#include <torch/types.h>

#include "nn/numerics.h"

namespace etrlrec {

struct LogprobOutput {
  at::Tensor logprobs;  // [N] log softmax(hidden weight^T + bias)[target]
  at::Tensor entropy;   // [N] without gradient; undefined unless asked for
};
// hidden [N, C], weight [V, C], targets int64 [N] in [0, V). Differentiable in hidden and weight
// (weight gradient only if it requires one). Backward recomputes the chunks.
LogprobOutput linear_logprob(const at::Tensor& hidden, const at::Tensor& weight,
                             const at::Tensor& targets, bool with_entropy = false,
                             const Numerics& numerics = {});

// Rows of logits that are in memory at once, at most.
int64_t logits_rows(int64_t rows, int64_t vocab_size);

// sum_n row_weights[n] * -log p(targets[n]); the same value as through linear_logprob, with the
// gradients computed in the forward pass (three matrix products instead of four). row_weights [N]
// without gradient.
at::Tensor linear_nll(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                      const at::Tensor& row_weights, const Numerics& numerics = {});

}  // namespace etrlrec
