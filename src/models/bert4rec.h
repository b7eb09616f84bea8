// BERT4Rec (Sun et al. 2019): attention in both directions over the items of a history. Training
// masks items at random and predicts them from both sides (the cloze task), and masks the last item
// alone in a tenth of the sequences, as it is asked for at prediction: there a mask follows the
// history. Departures: masked items are always replaced by the mask; the masks of a sequence change
// from step to step; no dropout on attention weights.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/rng.h"
#include "models/item_transformer.h"
#include "models/recommender.h"
#include "nn/parameters.h"

namespace etrlrec {

struct Bert4RecConfig {  // keys of config.json
  ItemTransformerConfig layers = {
      .norm_first = false, .final_norm = false, .embedding_norm = true, .layer_norm_eps = 1e-12};
  double mask_probability = 0.2;  // of each item of a training sequence
};

class Bert4Rec : public TrainableRecommender {
 public:
  Bert4Rec(const Bert4RecConfig& config, uint64_t seed);  // N(0, initializer_range), trainable
  static std::unique_ptr<Bert4Rec> load(const std::filesystem::path& folder);

  ParameterMap& parameters() override { return parameters_; }
  int64_t max_length() const override { return config_.layers.max_length; }
  const at::Tensor& item_weight() const override {
    return parameters_.at("item_embeddings.weight");
  }
  at::Tensor item_bias() const override { return parameters_.at("output.bias"); }
  at::Tensor last_states(const ItemSequences& sequences) const override;
  TrainingStates training_states(const ItemSequences& sequences, std::span<const int64_t> targets,
                                 Rng& rng) const override;
  // States of all tokens of sequences of at most max_length + 1 items, in which the item num_items
  // is the mask, or of the kept ones (ItemTransformer::run). [T, C]
  at::Tensor masked_states(const ItemSequences& sequences, Rng* rng = nullptr,
                           const at::Tensor& kept = {}) const;

  std::string name() const override { return "bert4rec"; }
  int64_t num_items() const override { return config_.layers.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  at::Tensor transformed(const at::Tensor& states) const;
  Bert4RecConfig config_;
  ParameterMap parameters_;
};

extern const RecommenderType kBert4Rec;

}  // namespace etrlrec
