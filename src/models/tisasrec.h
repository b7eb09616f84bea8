// TiSASRec (Li et al. 2020): SASRec whose attention knows how far two events lie apart. A query i
// weighs an earlier item j by q_i (k_j + r^K_ij + p^K_j) / sqrt(d) and gathers v_j + r^V_ij +
// p^V_j; r is a row of a table for the interval |t_i - t_j| in units of the user's smallest gap,
// at most time_span, p one for the position. Departures: the unit of a query is the smallest gap of
// the sequence up to it, so that no state looks at later times; norms as in models/sasrec.h; no
// dropout on attention weights and on the tables.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "models/item_transformer.h"
#include "models/recommender.h"
#include "nn/parameters.h"

namespace etrlrec {

struct TiSasrecConfig {  // keys of config.json
  ItemTransformerConfig layers;
  int64_t time_span = 256;  // greatest interval that is told apart, in units; at most 4096
};

class TiSasrec : public CausalRecommender {
 public:
  TiSasrec(const TiSasrecConfig& config, uint64_t seed);  // N(0, initializer_range), trainable
  static std::unique_ptr<TiSasrec> load(const std::filesystem::path& folder);

  ParameterMap& parameters() override { return parameters_; }
  int64_t max_length() const override { return config_.layers.max_length; }
  const at::Tensor& item_weight() const override {
    return parameters_.at("item_embeddings.weight");
  }
  // States after the last norm; sequences need times. [T, C]
  at::Tensor hidden_states(const ItemSequences& sequences, Rng* rng = nullptr) const override {
    return states(sequences, rng, {});
  }
  at::Tensor last_states(const ItemSequences& sequences) const override {
    return states(sequences, nullptr, last_items(sequences));
  }

  std::string name() const override { return "tisasrec"; }
  int64_t num_items() const override { return config_.layers.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  // Of the kept tokens (ItemTransformer::run).
  at::Tensor states(const ItemSequences& sequences, Rng* rng, const at::Tensor& kept) const;

  TiSasrecConfig config_;
  ParameterMap parameters_;
};

// For each query i of a sequence (times ascending) and each j <= i min(time_span, floor((t_i - t_j)
// / unit_i)), where unit_i is the smallest positive gap between neighbours up to i, or 0 intervals
// where there is none; 0 for j > i. [n n]
std::vector<int64_t> time_intervals(std::span<const int64_t> times, int64_t time_span);

extern const RecommenderType kTiSasrec;

}  // namespace etrlrec
