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
#include "models/recommender.h"
#include "nn/forest.h"
#include "nn/parameters.h"

namespace etrlrec {

struct SasrecConfig {  // keys of config.json
  int64_t num_items = 0;
  int64_t hidden_size = 64;
  int64_t num_hidden_layers = 2;
  int64_t num_attention_heads = 2;
  int64_t intermediate_size = 256;
  int64_t max_length = 50;          // most recent items that are seen
  double dropout = 0.2;             // of embeddings and of both branches of a layer
  std::string hidden_act = "gelu";  // gelu (erf) | relu
  bool norm_first = true;           // pre-norm; false: norm after each residual sum
  bool final_norm = true;           // norm before the output
  bool embedding_norm = false;      // norm after the sum of embeddings
  bool scale_embeddings = false;    // item embeddings times sqrt(hidden_size) at the input
  std::string position_alignment =
      "end";  // "end": the newest item is at max_length - 1; "start": the oldest at 0
  double layer_norm_eps = 1e-5;
  double initializer_range = 0.02;
};

class Sasrec : public TrainableRecommender {
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
  at::Tensor hidden_states(const TokenForest& forest, Rng* rng = nullptr) const override;

  std::string name() const override { return "sasrec"; }
  int64_t num_items() const override { return config_.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  at::Tensor layer_norm(const at::Tensor& values, const std::string& name) const;
  at::Tensor linear(const at::Tensor& values, const std::string& name) const;
  SasrecConfig config_;
  ParameterMap parameters_;
};

extern const RecommenderType kSasrec;

}  // namespace etrlrec
