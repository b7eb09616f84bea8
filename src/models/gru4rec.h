// GRU4Rec (Hidasi et al. 2016; Hidasi and Karatzoglou 2018): gated recurrent units over the items
// of a history, whose state, brought to the width of the item embeddings, scores the whole
// catalogue through them (tied, as the 2018 paper's constrained embedding). Departures: whole
// windows of a user's history instead of session-parallel batches, so that no state is carried from
// one batch to the next.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/rng.h"
#include "models/recommender.h"
#include "nn/parameters.h"

namespace etrlrec {

struct Gru4RecConfig {  // keys of config.json
  int64_t num_items = 0;
  int64_t hidden_size = 64;  // of the units
  int64_t embedding_size = 64;
  int64_t num_hidden_layers = 2;
  int64_t max_length = 50;  // most recent items that are seen
  double dropout = 0.2;     // of embeddings and between the layers
  bool bias = true;         // of the units
};

class Gru4Rec : public CausalRecommender {
 public:
  // Uniform in ± sqrt(6 / (rows + columns)) (Glorot and Bengio 2010), biases 0; trainable.
  Gru4Rec(const Gru4RecConfig& config, uint64_t seed);
  static std::unique_ptr<Gru4Rec> load(const std::filesystem::path& folder);

  ParameterMap& parameters() override { return parameters_; }
  int64_t max_length() const override { return config_.max_length; }
  const at::Tensor& item_weight() const override {
    return parameters_.at("item_embeddings.weight");
  }
  // States at the width of the embeddings. [T, embedding_size]
  at::Tensor hidden_states(const ItemSequences& sequences, Rng* rng = nullptr) const override;

  std::string name() const override { return "gru4rec"; }
  int64_t num_items() const override { return config_.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  Gru4RecConfig config_;
  ParameterMap parameters_;
};

extern const RecommenderType kGru4Rec;

}  // namespace etrlrec
