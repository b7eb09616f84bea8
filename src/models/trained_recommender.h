// What recommenders share whose parameters are trained by gradient steps: their start, their scores
// from the state after the newest item, and reading their parameters back.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <span>

#include "base/rng.h"
#include "models/recommender.h"

namespace etrlrec {

// N(0, deviation), fp32.
at::Tensor random_normal(at::IntArrayRef shape, double deviation, Rng& rng);

// Inner products of the state after the newest of at most max_length() items and the item matrix;
// an empty history scores every item 0. [B, N]
at::Tensor score_by_last_state(const TrainableRecommender& model,
                               std::span<const HistoryView> histories);

// Copies model.safetensors of a folder into initialised parameters. Error (kModel) unless names and
// shapes are the same.
void load_parameters(const std::filesystem::path& folder, ParameterMap& parameters);

}  // namespace etrlrec
