#include "models/bert4rec.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "models/config_fields.h"
#include "models/padded_rows.h"
#include "models/random_matrix.h"
#include "models/recommender_file.h"
#include "models/sasrec_ops.h"
#include "models/trained_options.h"

namespace etrlrec {
namespace {

using at::Tensor;
namespace fs = std::filesystem;

constexpr double kLastAlone = 0.1;  // share of the training sequences

void check_bert4rec(const Bert4RecConfig& config, const std::string& name,
                    ExitCode code = ExitCode::kModel) {
  check_item_transformer(config.layers, name, code);
  check_fixed_keys(config.layers, Bert4RecConfig{}.layers, name, code);
  require(config.mask_probability > 0 && config.mask_probability < 1, code,
          "{}: mask_probability: expected a value in (0, 1), found {}", name,
          config.mask_probability);
}

OrderedJson bert4rec_json(const Bert4RecConfig& config) {
  OrderedJson json = to_json(config.layers);
  json["mask_probability"] = config.mask_probability;
  return json;
}

constexpr RecommenderOption kBert4RecOptions[] = {
    kHiddenSize,
    kNumHiddenLayers,
    kNumAttentionHeads,
    kIntermediateSize,
    {"--mask-probability", "mask_probability", 0.2, "share of the items that training masks",
     "0.15, 0.2, 0.4, 0.6"},
    kDropout,
    kMaxLength,
};

Bert4RecConfig bert4rec_config(int64_t num_items, const OptionValues& given) {
  Bert4RecConfig config;
  config.layers.num_items = num_items;
  set_layers(given, config.layers);
  config.mask_probability = option_or(given, "mask_probability", config.mask_probability);
  return config;
}

}  // namespace

Bert4Rec::Bert4Rec(const Bert4RecConfig& config, uint64_t seed) : config_(config) {
  check_bert4rec(config, "bert4rec");
  const ItemTransformerConfig& layers = config_.layers;
  parameters_ = item_transformer_parameters(layers, seed);
  const auto add_matrix = [&](const std::string& name, int64_t rows) {
    parameters_[name] =
        normal_matrix(rows, layers.hidden_size, layers.initializer_range, seed, name);
  };
  add_matrix("mask_embedding.weight", 1);
  add_matrix("position_embeddings.weight", layers.max_length + 1);
  add_matrix("transform.weight", layers.hidden_size);
  parameters_["transform.bias"] = at::zeros({layers.hidden_size});
  parameters_["transform_norm.weight"] = at::ones({layers.hidden_size});
  parameters_["transform_norm.bias"] = at::zeros({layers.hidden_size});
  parameters_["output.bias"] = at::zeros({layers.num_items});
  for (auto& [name, tensor] : parameters_) tensor.requires_grad_();
}

Tensor Bert4Rec::masked_states(const ItemSequences& sequences, Rng* rng, const Tensor& kept) const {
  const ItemTransformerConfig& layers = config_.layers;
  check_sequences(sequences, layers.num_items + 1, layers.max_length + 1, "bert4rec");
  DropoutDraws dropout(layers.dropout, rng);
  const PaddedRows rows = pad_rows(sequences);
  std::vector<int32_t> items, positions;  // the newest token stands at max_length
  for (const Segment& segment : sequences.segments)
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      items.push_back(static_cast<int32_t>(sequences.ids[static_cast<size_t>(t)]));
      positions.push_back(static_cast<int32_t>(layers.max_length + 1 + t - segment.end));
    }
  const ItemTransformer transformer(layers, parameters_, numerics());
  Tensor hidden = embed_items(at::cat({item_weight(), parameters_.at("mask_embedding.weight")}),
                              parameters_.at("position_embeddings.weight"), at::tensor(items),
                              at::tensor(positions), 1, {}, numerics());  // [T, C]
  hidden =
      masked_dropout(transformer.layer_norm(hidden, "embedding_norm"), dropout.next(), numerics());
  const Tensor keys = rows.real.view({rows.sequences, 1, 1, rows.length});
  const double scale =
      1 / std::sqrt(static_cast<double>(layers.hidden_size / layers.num_attention_heads));
  const auto attend = [&](const Tensor& qkv, int64_t) {
    const auto parts = qkv.chunk(3, 1);
    const auto heads = [&](size_t part) {
      return to_heads(parts[part], rows, layers.num_attention_heads);  // [S, H, L, d]
    };
    const Tensor logits = at::matmul(heads(0), heads(1).transpose(2, 3)) * scale;
    const Tensor shares = at::softmax(logits.masked_fill(keys.logical_not(), -1e30), 3);
    return from_heads(at::matmul(shares, heads(2)), rows);
  };
  return transformer.run(hidden, attend, dropout, kept);
}

Tensor Bert4Rec::last_states(const ItemSequences& sequences) const {
  ItemSequences masked;
  for (const Segment& segment : sequences.segments) {
    std::vector<int64_t> items(sequences.ids.begin() + segment.begin,
                               sequences.ids.begin() + segment.end);
    items.push_back(num_items());
    masked.add(-1, items);
  }
  return transformed(masked_states(masked, nullptr, last_items(masked)));
}

// The items of a sequence are its inputs and the next item of the last one.
TrainingStates Bert4Rec::training_states(const ItemSequences& sequences,
                                         std::span<const int64_t> targets, Rng& rng) const {
  TrainingStates out;
  ItemSequences masked;
  std::vector<int64_t> places;
  for (size_t s = 0; s < sequences.segments.size(); ++s) {
    const Segment& segment = sequences.segments[s];
    std::vector<int64_t> items(sequences.ids.begin() + segment.begin,
                               sequences.ids.begin() + segment.end);
    items.push_back(targets[static_cast<size_t>(segment.end) - 1]);
    std::vector<bool> is_masked(items.size(), false);
    if (rng.chance(kLastAlone)) {
      is_masked.back() = true;
    } else {
      bool any = false;
      for (size_t i = 0; i < items.size(); ++i) {
        is_masked[i] = rng.chance(config_.mask_probability);
        any = any || is_masked[i];
      }
      if (!any) is_masked[rng.below(items.size())] = true;
    }
    for (size_t i = 0; i < items.size(); ++i) {
      if (!is_masked[i]) continue;
      out.targets.push_back(items[i]);
      out.sequences.push_back(static_cast<int64_t>(s));
      places.push_back(masked.num_tokens() + static_cast<int64_t>(i));
      items[i] = num_items();
    }
    masked.add(-1, items);
  }
  out.states = transformed(masked_states(masked, &rng, at::tensor(places)));
  return out;
}

// The output layer of BERT before its matrix: dense, activation, norm.
Tensor Bert4Rec::transformed(const Tensor& states) const {
  const ItemTransformer transformer(config_.layers, parameters_, numerics());
  return transformer.layer_norm(transformer.activate(transformer.linear(states, "transform")),
                                "transform_norm");
}

void Bert4Rec::save(const fs::path& folder) const {
  save_recommender(folder, "bert4rec", num_items(), bert4rec_json(config_), parameters_);
}

std::unique_ptr<Bert4Rec> Bert4Rec::load(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const Json json = read_json(file);
  Bert4RecConfig config;
  config.layers = read_item_transformer(json, file.string());
  config.mask_probability = get<double>(json, "mask_probability", file.string());
  check_bert4rec(config, file.string());
  auto model = std::make_unique<Bert4Rec>(config, 0);
  load_parameters(folder, model->parameters_);
  return model;
}

const RecommenderType kBert4Rec = {
    .name = "bert4rec",
    .summary = "self-attention in both directions, masked items",
    .paper = "Sun et al. 2019",
    .loss = "ce",
    .heading = "BERT4Rec",
    .options = kBert4RecOptions,
    .configure =
        [](const OptionValues& given) {
          const Bert4RecConfig config = bert4rec_config(1, given);
          check_bert4rec(config, "bert4rec", ExitCode::kUsage);
          return bert4rec_json(config);
        },
    .create = [](const InteractionLog& log, const OptionValues& given,
                 uint64_t seed) -> std::unique_ptr<TrainableRecommender> {
      return std::make_unique<Bert4Rec>(bert4rec_config(log.num_items, given), seed);
    },
    .load = [](const fs::path& folder) -> std::unique_ptr<Recommender> {
      return Bert4Rec::load(folder);
    },
};

}  // namespace etrlrec
