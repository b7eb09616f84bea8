// Input embeddings of language models: rows of the table, noise while training, virtual tokens.
#pragma once

#include <torch/types.h>

#include "nn/forest.h"
#include "nn/noise.h"
#include "nn/numerics.h"

namespace etrlrec {

// [T, C] for the tokens of a forest: rows of embed_tokens [V, C], with the noise of NEFTune when it
// is on; ids from V on are virtual tokens, rows of prompt_embeddings [n, C] (may be undefined).
// Differentiable. Error (kInput) for ids outside of [0, V + n).
at::Tensor embed_forest(const at::Tensor& embed_tokens, const at::Tensor& prompt_embeddings,
                        const TokenForest& forest, const TrainingNoise& noise = {},
                        const Numerics& numerics = {});

}  // namespace etrlrec
