// Caser (Tang and Wang 2018): convolutions over the last items of a history as over an image,
// horizontal ones (what came together) and vertical ones (weighted sums of the items), beside a
// vector of the user. Departures: the target is the next item alone, not the next T; the vector of
// a user starts at 0, which is also that of users without training events and of unknown ones.
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

struct CaserConfig {  // keys of config.json
  int64_t num_items = 0;
  int64_t num_users = 0;
  int64_t hidden_size = 64;             // d, of the item embeddings
  int64_t user_embedding_size = 64;     // 0: the user is not looked at
  int64_t markov_order = 5;             // L, most recent items that are seen, at most max_length
  int64_t num_horizontal_filters = 16;  // of each size
  int64_t min_filter_size = 1;          // items that a horizontal filter spans
  int64_t max_filter_size = 5;
  int64_t num_vertical_filters = 4;
  int64_t max_length = 50;  // of a sequence, whose first L - 1 places see fewer than L items
  double dropout = 0.2;     // of what the convolutions give
  // false: logits = W2 [z, user] + b2 as in the paper; true: relu(W [z, user] + b) and the item
  // embeddings, as in RecBole.
  bool tie_word_embeddings = false;
};

class Caser : public CausalRecommender {
 public:
  // Uniform in ± sqrt(6 / (rows + columns)) (Glorot and Bengio 2010), biases 0; trainable.
  Caser(const CaserConfig& config, uint64_t seed);
  static std::unique_ptr<Caser> load(const std::filesystem::path& folder);

  ParameterMap& parameters() override { return parameters_; }
  int64_t max_length() const override { return config_.max_length; }
  int64_t context_length() const override { return config_.markov_order; }
  const at::Tensor& item_weight() const override;
  at::Tensor item_bias() const override;
  // [T, hidden_size] when tied, else [T, hidden_size + user_embedding_size]
  at::Tensor hidden_states(const ItemSequences& sequences, Rng* rng = nullptr) const override;

  std::string name() const override { return "caser"; }
  int64_t num_items() const override { return config_.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  at::Tensor linear(const at::Tensor& values, const std::string& name) const;
  at::Tensor convolve(const at::Tensor& windows) const;  // [T, L, d] -> [T, features]
  CaserConfig config_;
  ParameterMap parameters_;
};

extern const RecommenderType kCaser;

}  // namespace etrlrec
