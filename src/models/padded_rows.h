// Sequences of different lengths as one padded batch, for attention that the token forest does not
// have: in both directions, or by time.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "nn/forest.h"

namespace etrlrec {

struct PaddedRows {
  int64_t sequences = 0, length = 0;  // S and the longest sequence's L
  at::Tensor places;                  // int64 [T], of each token in [S L]; a sequence begins at 0
  at::Tensor real;                    // bool [S, L]
};
PaddedRows pad_rows(const TokenForest& forest);  // of roots, at least one

// [T, H d] -> [S, H, L, d], 0 where nothing is; differentiable.
at::Tensor to_heads(const at::Tensor& values, const PaddedRows& rows, int64_t heads);
// [S, H, L, d] -> [T, H d]; differentiable.
at::Tensor from_heads(const at::Tensor& values, const PaddedRows& rows);

}  // namespace etrlrec
