// The layers that SASRec, BERT4Rec and TiSASRec share: embeddings of items, attention and
// feed-forward branches with norms and dropout. What attends to what is the model's own.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/check.h"
#include "models/recommender.h"
#include "nn/noise.h"
#include "nn/numerics.h"
#include "nn/parameters.h"

namespace etrlrec {

struct ItemTransformerConfig {  // keys of config.json
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
// Error (`code`) for values that make no model; `name` begins the message.
void check_item_transformer(const ItemTransformerConfig& config, const std::string& name,
                            ExitCode code = ExitCode::kModel);
// Error (`code`) where position_alignment, scale_embeddings or embedding_norm are not those of
// `own`: for models that do not look at these keys.
void check_fixed_keys(const ItemTransformerConfig& config, const ItemTransformerConfig& own,
                      const std::string& name, ExitCode code);
// What the options hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, dropout
// and max_length say; an intermediate_size that nobody gives is four times the hidden size.
void set_layers(const OptionValues& given, ItemTransformerConfig& config);
// All but num_items.
nlohmann::ordered_json to_json(const ItemTransformerConfig& config);
ItemTransformerConfig read_item_transformer(const nlohmann::json& json, const std::string& name);

// N(0, initializer_range), biases 0, norms 1: "item_embeddings.weight" [num_items, C], the norms of
// the configuration, and "layers.<n>." attention_norm, attention.qkv, attention.out,
// feed_forward_norm, feed_forward.up and feed_forward.down.
ParameterMap item_transformer_parameters(const ItemTransformerConfig& config, uint64_t seed);

// Queries, keys and values side by side [T, 3 C] of a layer -> what its heads gather [T, C].
using Attend = std::function<at::Tensor(const at::Tensor& qkv, int64_t layer)>;

class ItemTransformer {
 public:
  // Both outlive it.
  ItemTransformer(const ItemTransformerConfig& config, const ParameterMap& parameters,
                  const Numerics& numerics)
      : config_(config), parameters_(parameters), numerics_(numerics) {}
  // The layers and the last norm over embedded items; hidden [T, C] -> [T, C]. `kept`: int64 [K],
  // the rows that are asked for, ascending -> [K, C]; the last layer computes no others behind its
  // attention. Undefined: all.
  at::Tensor run(at::Tensor hidden, const Attend& attend, DropoutDraws& dropout,
                 const at::Tensor& kept = {}) const;
  at::Tensor layer_norm(const at::Tensor& values, const std::string& name) const;
  at::Tensor linear(const at::Tensor& values, const std::string& name) const;
  at::Tensor activate(const at::Tensor& values) const;  // hidden_act

 private:
  const ItemTransformerConfig& config_;
  const ParameterMap& parameters_;
  Numerics numerics_;
};

}  // namespace etrlrec
