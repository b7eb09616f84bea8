// Conventional recommenders behind one interface: scores over the whole catalogue for a batch of
// histories. They see item indices and times only, never text.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/parameters.h"

namespace etrlrec {

struct HistoryView {
  std::span<const int32_t> items;  // oldest first, without the target
  std::span<const int64_t> times;
  int64_t now = 0;  // request time
};

// Training interactions as columns (data/dataset.h restricted to the training part), so that models
// never see data/.
struct InteractionLog {
  int64_t num_items = 0;
  std::vector<int64_t> user_offsets{0};  // [U + 1]
  std::vector<int32_t> items;
  std::vector<int64_t> times;
};

class Recommender {
 public:
  virtual ~Recommender() = default;
  virtual std::string name() const = 0;
  virtual int64_t num_items() const = 0;
  // [B, N] higher is better; finite. Independent of the batch size.
  virtual at::Tensor score(std::span<const HistoryView> histories) const = 0;
  // config.json + model.safetensors (tensors by name).
  virtual void save(const std::filesystem::path& folder) const = 0;
};

// Counting models (models/counting.cc): "popularity" (add-one counts), "recency" (popularity in
// which an interaction loses half its weight every half_life_days; exact at the request time, and
// only interactions before it count), "markov" (first-order transitions smoothed towards
// popularity). Scores are log-probabilities over the catalogue.
struct CountingOptions {
  double half_life_days = 30;
  double smoothing = 10;  // alpha of the popularity prior in T(a -> b)
};
std::unique_ptr<Recommender> fit_counting(std::string_view name, const InteractionLog& log,
                                          const CountingOptions& options);
std::unique_ptr<Recommender> load_recommender(
    const std::filesystem::path& folder);  // any of them, SASRec included

}  // namespace etrlrec
