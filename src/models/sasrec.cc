#include "models/sasrec.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/item_transformer.h"
#include "models/random_matrix.h"
#include "models/recommender_file.h"
#include "models/sasrec_ops.h"
#include "models/trained_options.h"
#include "nn/attention.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr RecommenderOption kOptions[] = {
    kHiddenSize, kNumHiddenLayers, kNumAttentionHeads, kIntermediateSize, kDropout, kMaxLength,
};

SasrecConfig config_of(int64_t num_items, const OptionValues& given) {
  SasrecConfig config;
  config.num_items = num_items;
  set_layers(given, config);
  return config;
}

// Token ids and positions, as int32 [T] each.
struct Inputs {
  Tensor items, positions;
};

Inputs make_inputs(const ItemSequences& forest, const SasrecConfig& config) {
  check_sequences(forest, config.num_items, config.max_length, "sasrec");
  const int64_t tokens = forest.num_tokens();
  Inputs inputs{at::empty({tokens}, at::kInt), at::empty({tokens}, at::kInt)};
  int32_t* items = inputs.items.data_ptr<int32_t>();
  int32_t* positions = inputs.positions.data_ptr<int32_t>();
  for (const Segment& segment : forest.segments) {
    const int64_t length = segment.end - segment.begin;
    const int64_t first = config.position_alignment == "end" ? config.max_length - length : 0;
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      items[t] = static_cast<int32_t>(forest.ids[static_cast<size_t>(t)]);
      positions[t] = static_cast<int32_t>(first + t - segment.begin);
    }
  }
  return inputs;
}

}  // namespace

Sasrec::Sasrec(const SasrecConfig& config, uint64_t seed) : config_(config) {
  check_item_transformer(config, "sasrec");
  parameters_ = item_transformer_parameters(config, seed);
  const std::string positions = "position_embeddings.weight";
  parameters_[positions] = normal_matrix(config.max_length, config.hidden_size,
                                         config.initializer_range, seed, positions);
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

Tensor Sasrec::states(const ItemSequences& forest, Rng* rng, const Tensor& kept) const {
  DropoutDraws dropout(config_.dropout, rng);
  const ItemTransformer transformer(config_, parameters_, numerics());
  const Inputs inputs = make_inputs(forest, config_);
  const auto plan = plan_forest(forest);
  const int64_t head_dim = config_.hidden_size / config_.num_attention_heads;
  const HeadShape shape{config_.num_attention_heads, config_.num_attention_heads, head_dim};
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const double input_scale =
      config_.scale_embeddings ? std::sqrt(static_cast<double>(config_.hidden_size)) : 1;
  const bool norm_embeddings = config_.embedding_norm;
  Tensor hidden = embed_items(item_weight(), parameters_.at("position_embeddings.weight"),
                              inputs.items, inputs.positions, input_scale,
                              norm_embeddings ? DropoutMask{} : dropout.next(), numerics());
  if (norm_embeddings)
    hidden = masked_dropout(transformer.layer_norm(hidden, "embedding_norm"), dropout.next(),
                            numerics());
  const auto attend = [&](const Tensor& qkv, int64_t) {
    return rotary_attention(qkv, plan, shape, RotaryTable{}, scale, numerics());
  };
  return transformer.run(hidden, attend, dropout, kept);
}

void Sasrec::save(const fs::path& folder) const {
  save_recommender(folder, "sasrec", config_.num_items, to_json(config_), parameters_);
}

std::unique_ptr<Sasrec> Sasrec::load(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  auto model = std::make_unique<Sasrec>(read_item_transformer(read_json(file), file.string()), 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kSasrec = {
    .name = "sasrec",
    .summary = "self-attention over the history",
    .paper = "Kang and McAuley 2018",
    .loss = "ce",
    .heading = "SASRec",
    .usual = true,
    .options = kOptions,
    .configure =
        [](const OptionValues& given) {
          const SasrecConfig config = config_of(1, given);
          check_item_transformer(config, "sasrec", ExitCode::kUsage);
          return to_json(config);
        },
    .create = [](const InteractionLog& log, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<Sasrec>(config_of(log.num_items, given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return Sasrec::load(folder);
    },
};

}  // namespace etrlrec
