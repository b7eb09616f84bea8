// SASRec (Kang and McAuley 2018): a causal transformer over the items of a history whose state
// scores the whole catalogue through the tied item embeddings. Departures: inputs are a token
// forest (one root per sequence, nothing is padded); no dropout on attention weights; norms,
// activation and position order are set in the configuration, so that the forms of other
// implementations can be loaded.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/rng.h"
#include "models/item_transformer.h"
#include "models/recommender.h"
#include "nn/parameters.h"

namespace etrlrec {

using SasrecConfig = ItemTransformerConfig;

class Sasrec : public CausalRecommender {
 public:
  Sasrec(const SasrecConfig& config, uint64_t seed);  // N(0, initializer_range), trainable
  static std::unique_ptr<Sasrec> load(const std::filesystem::path& folder);

  const SasrecConfig& config() const { return config_; }
  ParameterMap& parameters() override { return parameters_; }
  int64_t max_length() const override { return config_.max_length; }
  const at::Tensor& item_weight() const override {
    return parameters_.at("item_embeddings.weight");
  }
  // States after the last norm. [T, C]
  at::Tensor hidden_states(const ItemSequences& forest, Rng* rng = nullptr) const override {
    return states(forest, rng, {});
  }
  at::Tensor last_states(const ItemSequences& forest) const override {
    return states(forest, nullptr, last_items(forest));
  }

  std::string name() const override { return "sasrec"; }
  int64_t num_items() const override { return config_.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  // Of the kept tokens (ItemTransformer::run).
  at::Tensor states(const ItemSequences& forest, Rng* rng, const at::Tensor& kept) const;

  SasrecConfig config_;
  ParameterMap parameters_;
};

extern const RecommenderType kSasrec;

}  // namespace etrlrec
