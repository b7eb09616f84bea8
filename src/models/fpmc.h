// FPMC (Rendle et al. 2010), factorised personalised Markov chains: what a user likes at all plus
// what follows the last item, score(u, l, i) = <v_u, v_i^U> + <v_l, v_i^L>. Departures: baskets
// are single items; the vector of a user starts at 0, which is also that of users without training
// events and of unknown ones, for whom the Markov chain alone decides.
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

struct FpmcConfig {  // keys of config.json
  int64_t num_items = 0;
  int64_t num_users = 0;
  int64_t hidden_size = 64;  // d, of each of the four factors
};

class Fpmc : public CausalRecommender {
 public:
  // Uniform in ± sqrt(6 / (rows + columns)) (Glorot and Bengio 2010); trainable.
  Fpmc(const FpmcConfig& config, uint64_t seed);
  static std::unique_ptr<Fpmc> load(const std::filesystem::path& folder);

  ParameterMap& parameters() override { return parameters_; }
  int64_t max_length() const override { return 50; }  // pairs of one row
  int64_t context_length() const override { return 1; }
  // v^U and v^L of each item side by side. [N, 2 d]
  const at::Tensor& item_weight() const override {
    return parameters_.at("item_embeddings.weight");
  }
  // The user's vector and that of the item. [T, 2 d]
  at::Tensor hidden_states(const ItemSequences& sequences, Rng* rng = nullptr) const override;

  std::string name() const override { return "fpmc"; }
  int64_t num_items() const override { return config_.num_items; }
  void save(const std::filesystem::path& folder) const override;

 private:
  FpmcConfig config_;
  ParameterMap parameters_;
};

extern const RecommenderType kFpmc;

}  // namespace etrlrec
